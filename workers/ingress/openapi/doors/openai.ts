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
    summary: "A chat completion, through the queue",
    text: "Every parameter passes through. It is answered when the job has ended; with `stream: true` upstream's chunks come one by one, and comments while it waits.",
    opens: "call",
    parameters: [
      idempotencyKey(),
      header("x-sluice-channel", "As in a job."),
      header("x-sluice-priority", "As in a job.", { type: "number" }),
      header("x-sluice-deadline", "As in a job.", { type: "number" }),
      header("x-sluice-on-disconnect", "What becomes of the job if its caller goes and does not come back.", {
        type: "string",
        enum: ["cancel", "keep"],
      }),
    ],
    body: { content: { "application/json": "ChatRequest" } },
    answers: {
      200: {
        text: "The completion, or its stream.",
        headers: {
          "x-sluice-job": "The job's id.",
          "x-sluice-queue-ms": "How long it waited, where that is known when the headers go.",
          "openai-processing-ms": "How long upstream took, where that is known.",
          ...limitHeaders(),
        },
        content: {
          "application/json": "ChatCompletion",
          "text/event-stream": eventStream(
            "Chunks, as upstream wrote them. What ends with `[DONE]` is whole; an `ErrorBody` in the place of a chunk ends it, of `stream_interrupted` or `stream_incomplete` too.",
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
    [`x-ratelimit-limit-${resource}`]: `What this tenant may spend of the pool in a minute, in ${resource}.`,
    [`x-ratelimit-remaining-${resource}`]: "What of it is free at once.",
    [`x-ratelimit-reset-${resource}`]: "Until all of it is.",
  });
  return { ...of("requests"), ...of("tokens") };
}

function listModels(): Schema {
  return operation({
    id: "listModels",
    tag: "OpenAI",
    summary: "The models of the pools that may be used",
    opens: "submit",
    answers: { 200: json("All of them.", "ModelList") },
    alone: true,
  });
}

function getModel(): Schema {
  return operation({
    id: "getModel",
    tag: "OpenAI",
    summary: "A model",
    text: "Where a pool takes whatever no other takes, there is every one: whether upstream has it, upstream alone can tell.",
    opens: "submit",
    parameters: [path("id", "The model; it may have slashes.")],
    answers: { 200: json("The model.", "Model") },
    refuses: { 404: ["model_not_found"] },
    alone: true,
  });
}

function uploadFile(): Schema {
  return operation({
    id: "uploadFile",
    tag: "OpenAI",
    summary: "Uploads a batch's input",
    text: "Up to 200 MB and 50,000 lines.",
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
    summary: "The files that were uploaded, newest first",
    opens: "read, by key",
    parameters: [
      query("purpose", "Other purposes than `batch` have none."),
      query("order", "By time.", { type: "string", enum: ["asc", "desc"], default: "desc" }),
      after("the id of a file"),
      limit(10_000, 10_000),
    ],
    answers: { 200: json("A page.", "FileList") },
    refuses: { 400: ["invalid_parameter"] },
  });
}

const fileId = () => path("id", "The file's id.");

function getFile(): Schema {
  return operation({
    id: "getFile",
    tag: "OpenAI",
    summary: "A file",
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
    summary: "Deletes a file that was uploaded",
    opens: "submit, by key",
    parameters: [fileId()],
    answers: { 200: json("It is gone.", "DeletedFile") },
    refuses: { 404: NO_SUCH_FILE, 409: ["file_not_deletable"] },
  });
}

function fileContent(): Schema {
  return operation({
    id: "fileContent",
    tag: "OpenAI",
    summary: "What is in a file",
    opens: "read, by key",
    parameters: [fileId()],
    answers: { 200: { text: "Its bytes.", content: { "application/octet-stream": {} } } },
    refuses: { 404: NO_SUCH_FILE },
  });
}

function createBatch(): Schema {
  return operation({
    id: "createBatch",
    tag: "OpenAI",
    summary: "Begins a batch, on the budget that live jobs leave",
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
    summary: "Batches, newest first",
    opens: "read, by key",
    parameters: [after("the id of a batch"), limit(20, 100)],
    answers: { 200: json("A page.", "BatchList") },
    refuses: { 400: ["invalid_parameter"] },
  });
}

const batchId = () => path("id", "The batch's id.");

function getBatch(): Schema {
  return operation({
    id: "getBatch",
    tag: "OpenAI",
    summary: "A batch",
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
