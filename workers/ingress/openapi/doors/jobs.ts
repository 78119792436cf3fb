/** `/v1/jobs` and everything under it, and the WebSocket. */
import { STATUSES } from "../../../../schemas/job.ts";
import { type Schema, schemaRef } from "../components.ts";
import { operation } from "../operation.ts";
import { after, eventStream, idempotencyKey, jobId, json, limit, path, query, waiting } from "../parameters.ts";

/** Refusals of a job, and so of a call too, since a call is a job. */
export const NO_JOB = {
  400: [
    "invalid_json",
    "invalid_parameter",
    "deadline_passed",
    "deadline_unreachable",
    "reservation_exceeds_budget",
    "unknown_pool",
    "channel_required",
  ],
  403: ["channel_not_allowed", "model_not_allowed", "token_jobs_exhausted"],
  404: ["model_not_found"],
  413: ["request_too_large"],
  429: ["queue_full"],
  503: ["unavailable", "draining", "storage_full"],
};

const NO_SUCH_JOB = ["job_not_found"];

export const jobDoors = (): Record<string, Record<string, Schema>> => ({
  "/v1/jobs": { post: submitJobs(), get: listJobs() },
  "/v1/jobs/{id}": { get: getJob() },
  "/v1/jobs/{id}/events": { get: jobEvents() },
  "/v1/jobs/{id}/why": { get: whyJob() },
  "/v1/jobs/{id}/cancel": { post: cancelJob() },
  "/v1/jobs/{id}/deliveries": { get: listDeliveries() },
  "/v1/jobs/{id}/deliveries/{delivery}/redeliver": { post: redeliverEvent() },
  "/v1/subscribe": { get: subscribe() },
});

function submitJobs(): Schema {
  const many = { type: "array", maxItems: 10_000, items: schemaRef("JobInput") };
  const wrapped = { type: "object", required: ["jobs"], properties: { jobs: many } };
  return operation({
    id: "submitJobs",
    tag: "Jobs",
    summary: "Submits a job, or many",
    text: "202 means durable. Of many, a bad one fails alone: it is answered with its error, in its place. JSONL is answered line by line, in order, as the jobs are durable; blank lines are skipped.",
    opens: "submit",
    parameters: [idempotencyKey()],
    body: {
      content: {
        "application/json": { oneOf: [schemaRef("JobInput"), wrapped, many] },
        "application/jsonl": { type: "string", description: "A `JobInput` a line, 50,000 at most." },
      },
    },
    answers: {
      202: {
        text: "The job, or a list of what became of each.",
        headers: { location: "Of a job: where it is." },
        content: {
          "application/json": { oneOf: [schemaRef("SubmittedJob"), schemaRef("SubmittedList")] },
          "application/jsonl": {
            type: "string",
            description: "A `SubmittedJob` or a `LineError` a line. A line beyond the 50,000th is refused `too_many_lines`.",
          },
        },
      },
    },
    refuses: {
      ...NO_JOB,
      400: [...NO_JOB[400], "invalid_job", "invalid_webhook", "webhook_secret_missing"],
      409: ["idempotency_key_conflict"],
      501: ["tokens_not_configured"],
    },
  });
}

function listJobs(): Schema {
  return operation({
    id: "listJobs",
    tag: "Jobs",
    summary: "Jobs, newest first",
    text: "Without `channel` over all of the tenant's channels, 200 at most, but for jobs of batches. A page is shorter where its answers are long.",
    opens: "read",
    parameters: [
      query("channel", "A token of one channel means that one."),
      query("status", "Those alone that stand so.", { type: "string", enum: STATUSES }),
      query("batch", "The jobs of a batch. Not for tokens."),
      after("the id of a job"),
      limit(20, 100),
    ],
    answers: { 200: json("A page.", "JobList") },
    refuses: { 400: ["invalid_parameter", "channel_required"], 403: ["channel_not_allowed"], 404: ["job_not_found", "batch_not_found"] },
  });
}

function getJob(): Schema {
  const applied = { "preference-applied": "The wait, if `Prefer` asked for it." };
  return operation({
    id: "getJob",
    tag: "Jobs",
    summary: "A job",
    text: "With a wait, as soon as it has ended.",
    opens: "read",
    parameters: [jobId(), ...waiting()],
    answers: { 200: json("It has ended.", "Job", applied), 202: json("It has not ended yet.", "Job", applied) },
    refuses: { 400: ["invalid_parameter"], 404: NO_SUCH_JOB },
  });
}

function jobEvents(): Schema {
  return operation({
    id: "jobEvents",
    tag: "Jobs",
    summary: "A job's events, as they come",
    text: "Server-Sent Events from the job's beginning, or after an event, to its end. With a wait, or where `Accept` names application/json alone, a list by long-poll.",
    opens: "read",
    parameters: [
      jobId(),
      {
        name: "Last-Event-ID",
        in: "header",
        description: "The seq of the last event that is known.",
        schema: { type: "integer", minimum: 0 },
      },
      query("after", "The same in the URL.", { type: "integer", minimum: 0, default: 0 }),
      query("deltas", "`false` leaves deltas out.", { type: "boolean", default: true }),
      ...waiting(),
    ],
    answers: {
      200: {
        text: "The events.",
        headers: { "preference-applied": "The wait, if `Prefer` asked for it." },
        content: {
          "text/event-stream": eventStream("`event` and `data` as in a `JobEvent`, `id` its seq. A comment every 15 seconds."),
          "application/json": "EventList",
        },
      },
      204: { text: "Of the stream: the job has ended, and its last event is known." },
    },
    refuses: { 400: ["invalid_parameter"], 404: NO_SUCH_JOB },
  });
}

function whyJob(): Schema {
  return operation({
    id: "whyJob",
    tag: "Jobs",
    summary: "Why a job waits, in words and numbers",
    opens: "read",
    parameters: [jobId()],
    answers: { 200: json("The reason.", "JobWhy") },
    refuses: { 404: NO_SUCH_JOB },
  });
}

function cancelJob(): Schema {
  return operation({
    id: "cancelJob",
    tag: "Jobs",
    summary: "Cancels a job",
    text: "A running call is broken off. A job that has ended stays as it is.",
    opens: "cancel",
    parameters: [jobId()],
    answers: { 200: json("The job.", "Job") },
    refuses: { 404: NO_SUCH_JOB },
  });
}

function listDeliveries(): Schema {
  return operation({
    id: "listDeliveries",
    tag: "Jobs",
    summary: "What became of the event for the job's webhook",
    text: "Empty before the job's end, and for a job without a webhook.",
    opens: "read, by key",
    parameters: [jobId()],
    answers: { 200: json("One at the most.", "DeliveryList") },
    refuses: { 404: NO_SUCH_JOB },
  });
}

function redeliverEvent(): Schema {
  return operation({
    id: "redeliverEvent",
    tag: "Jobs",
    summary: "Sends a webhook's event again",
    text: "At once, whatever its status, from the start of the schedule.",
    opens: "submit, by key",
    parameters: [jobId(), path("delivery", "The event's id.")],
    answers: { 202: json("The delivery.", "Delivery") },
    refuses: { 404: [...NO_SUCH_JOB, "delivery_not_found"] },
  });
}

function subscribe(): Schema {
  return operation({
    id: "subscribe",
    tag: "Jobs",
    summary: "A WebSocket: events of jobs and channels",
    text: "JSON text frames, in docs/api.md. A browser names the subprotocols `sluice.v1` and `bearer.TOKEN` in place of the header. The same GET without an upgrade says why a WebSocket is refused.",
    opens: "read",
    parameters: [query("channel", "Places the socket with that channel's mailbox. It subscribes to nothing by itself.")],
    answers: { 101: { text: "The socket is open." } },
    refuses: { 400: ["invalid_parameter"], 403: ["channel_not_allowed"], 426: ["upgrade_required"] },
  });
}
