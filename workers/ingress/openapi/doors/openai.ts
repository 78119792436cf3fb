/** OpenAI's own API: chat completions, models, files and batches. */
import type { Schema } from "../components.ts";
import { operation } from "../operation.ts";
import { after, eventStream, header, idempotencyKey, json, limit, path, query } from "../parameters.ts";
import { NO_JOB } from "./jobs.ts";

const NO_SUCH_FILE = [null];
const NO_SUCH_BATCH = [null];

export const openaiDoors = (): Record<string, Record<string, Schema>> => ({
  "/v1/chat/completions": { post: chatCompletions() },
  "/v1/models": { get: listModels() },
  "/v1/models/{id}": { get: getModel() },
  "/v1/files": { post: uploadFile(), get: listFiles() },
  "/v1/files/{id}": { get: getFile(), delete: deleteFile() },
  "/v1/files/{id}/content": { get: fileContent() },
  "/v1/batches": { post: createBatch(), get: listBatches() },
  "/v1/batches/{id}": { get: getBatch() },
  "/v1/batches/{id}/cancel": { post: cancelBatch() },
});

function chatCompletions(): Schema {
  return operation({
    id: "chatCompletions",
    tag: "OpenAI",
    summary: "Creates a chat completion, through the queue",
    text: "All parameters are passed on to upstream. The answer comes when the job has ended. With `stream: true`, upstream's chunks are sent as they come, and comments while the call waits.",
    opens: "call",
    parameters: [
      idempotencyKey(),
      header("x-sluice-channel", "As in `JobInput`."),
      header("x-sluice-priority", "As in `JobInput`.", { type: "number" }),
      header("x-sluice-deadline", "As in `JobInput`.", { type: "number" }),
      header("x-sluice-on-disconnect", "What happens to the job if its caller disconnects and does not come back within 30 seconds.", {
        type: "string",
        enum: ["cancel", "keep"],
      }),
    ],
    body: { content: { "application/json": "ChatRequest" } },
    answers: {
      200: {
        text: "The completion, or a stream of it.",
        headers: {
          "x-sluice-job": "The job's id.",
          "x-sluice-queue-ms": "How long the call waited, in milliseconds, if known when the headers are sent.",
          "openai-processing-ms": "How long upstream took, in milliseconds, if known when the headers are sent.",
          ...limitHeaders(),
        },
        content: {
          "application/json": "ChatCompletion",
          "text/event-stream": eventStream(
            "Chunks as upstream wrote them. A stream that ends with `[DONE]` is complete. An `ErrorBody` in place of a chunk ends the stream; its code may also be `stream_interrupted` or `stream_incomplete`.",
          ),
        },
      },
    },
    refuses: {
      ...NO_JOB,
      400: [null, ...NO_JOB[400]],
      408: ["deadline_passed"],
      409: ["idempotency_key_conflict", "job_cancelled"],
      429: [...NO_JOB[429], "job_not_finished"],
    },
    upstream: true,
  });
}

/** What the tenant may spend of the pool per minute, in OpenAI's headers. */
function limitHeaders(): Record<string, string> {
  const of = (resource: string) => ({
    [`x-ratelimit-limit-${resource}`]: `What this tenant may spend in the pool per minute, in ${resource}.`,
    [`x-ratelimit-remaining-${resource}`]: "How much of that may be spent right now.",
    [`x-ratelimit-reset-${resource}`]: "Time until all of it is available again.",
  });
  return { ...of("requests"), ...of("tokens") };
}

function listModels(): Schema {
  return operation({
    id: "listModels",
    tag: "OpenAI",
    summary: "Lists the models of the configured pools",
    opens: "submit",
    answers: { 200: json("All models that the key or token may use.", "ModelList") },
    alone: true,
  });
}

function getModel(): Schema {
  return operation({
    id: "getModel",
    tag: "OpenAI",
    summary: "Gets a model",
    text: "If a pool takes all models that no other pool takes (`default`), every id is found: only upstream knows whether the model exists.",
    opens: "submit",
    parameters: [path("id", "The model's id. It may contain slashes.")],
    answers: { 200: json("The model.", "Model") },
    refuses: { 404: ["model_not_found"] },
    alone: true,
  });
}

function uploadFile(): Schema {
  return operation({
    id: "uploadFile",
    tag: "OpenAI",
    summary: "Uploads the input file of a batch",
    text: "At most 200 MB and 50,000 lines.",
    opens: "submit, by key",
    body: {
      content: {
        "multipart/form-data": {
          type: "object",
          required: ["purpose", "file"],
          properties: {
            purpose: { type: "string", const: "batch" },
            file: { type: "string", contentMediaType: "application/octet-stream" },
          },
        },
      },
    },
    answers: { 200: json("The file.", "FileObject") },
    refuses: { 400: [null, "invalid_multipart", "empty_file"], 413: ["file_too_large"] },
  });
}

function listFiles(): Schema {
  return operation({
    id: "listFiles",
    tag: "OpenAI",
    summary: "Lists uploaded files, newest first",
    text: "Result files of batches are not listed: their ids are in the batch.",
    opens: "read, by key",
    parameters: [
      query("purpose", "Only `batch` has files; any other purpose gives an empty list."),
      query("order", "Order by creation time.", { type: "string", enum: ["asc", "desc"], default: "desc" }),
      after("the id of a file"),
      limit(10_000, 10_000),
    ],
    answers: { 200: json("A page of files.", "FileList") },
    refuses: { 400: ["invalid_parameter"] },
  });
}

const fileId = () => path("id", "The file's id.");

function getFile(): Schema {
  return operation({
    id: "getFile",
    tag: "OpenAI",
    summary: "Gets a file",
    opens: "read, by key",
    parameters: [fileId()],
    answers: { 200: json("The file.", "FileObject") },
    refuses: { 404: NO_SUCH_FILE },
  });
}

function deleteFile(): Schema {
  return operation({
    id: "deleteFile",
    tag: "OpenAI",
    summary: "Deletes an uploaded file",
    opens: "submit, by key",
    parameters: [fileId()],
    answers: { 200: json("The file has been deleted.", "DeletedFile") },
    refuses: { 404: NO_SUCH_FILE, 409: ["file_not_deletable"] },
  });
}

function fileContent(): Schema {
  return operation({
    id: "fileContent",
    tag: "OpenAI",
    summary: "Gets the content of a file",
    opens: "read, by key",
    parameters: [fileId()],
    answers: { 200: { text: "The bytes of the file.", content: { "application/octet-stream": {} } } },
    refuses: { 404: NO_SUCH_FILE },
  });
}

function createBatch(): Schema {
  return operation({
    id: "createBatch",
    tag: "OpenAI",
    summary: "Creates a batch, which runs on the budget that live jobs leave over",
    opens: "submit, by key",
    parameters: [idempotencyKey()],
    body: { content: { "application/json": "BatchInput" } },
    answers: { 200: json("The batch.", "BatchObject") },
    refuses: {
      400: [null, "invalid_json", "invalid_parameter", "invalid_webhook", "webhook_secret_missing"],
      409: ["idempotency_key_conflict"],
      413: ["request_too_large"],
    },
  });
}

function listBatches(): Schema {
  return operation({
    id: "listBatches",
    tag: "OpenAI",
    summary: "Lists batches, newest first",
    opens: "read, by key",
    parameters: [after("the id of a batch"), limit(20, 100)],
    answers: { 200: json("A page of batches.", "BatchList") },
    refuses: { 400: ["invalid_parameter"] },
  });
}

const batchId = () => path("id", "The batch's id.");

function getBatch(): Schema {
  return operation({
    id: "getBatch",
    tag: "OpenAI",
    summary: "Gets a batch",
    opens: "read, by key",
    parameters: [batchId()],
    answers: { 200: json("The batch.", "BatchObject") },
    refuses: { 404: NO_SUCH_BATCH },
  });
}

function cancelBatch(): Schema {
  return operation({
    id: "cancelBatch",
    tag: "OpenAI",
    summary: "Cancels a batch",
    opens: "submit, by key",
    parameters: [batchId()],
    answers: { 200: json("The batch.", "BatchObject") },
    refuses: { 404: NO_SUCH_BATCH },
  });
}
