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
  const wrapped = { type: "object", required: ["jobs"], properties: { jobs: many }, additionalProperties: false };
  return operation({
    id: "submitJobs",
    tag: "Jobs",
    summary: "Submits one or more jobs",
    text: "202 means that the jobs are stored durably. In a list, an invalid job does not affect the others: its place in the answer holds its error. JSONL is answered line by line, in order, as the jobs become durable; blank lines are skipped.",
    opens: "submit",
    parameters: [idempotencyKey()],
    body: {
      content: {
        "application/json": { oneOf: [schemaRef("JobInput"), wrapped, many] },
        "application/jsonl": { type: "string", description: "One `JobInput` per line, at most 50,000 lines." },
      },
    },
    answers: {
      202: {
        text: "The job, or a list with a job or an error for each job sent.",
        headers: { location: "URL of the job, if a single one was sent." },
        content: {
          "application/json": { oneOf: [schemaRef("SubmittedJob"), schemaRef("SubmittedList")] },
          "application/jsonl": {
            type: "string",
            description: "One `SubmittedJob` or `LineError` per line. Lines beyond the 50,000th get the error `too_many_lines`.",
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
    summary: "Lists jobs, newest first",
    text: "Without `channel`, lists all of the tenant's channels (a tenant with more than 200 must name one), except jobs of batches. A page may hold fewer jobs than `limit` if their answers are long.",
    opens: "read",
    parameters: [
      query("channel", "Only jobs of this channel. With a token for a single channel, it defaults to that one."),
      query("status", "Only jobs with this status.", { type: "string", enum: STATUSES }),
      query("batch", "Only the jobs of this batch. Not available to tokens."),
      after("the id of a job"),
      limit(20, 100),
    ],
    answers: { 200: json("A page of jobs.", "JobList") },
    refuses: { 400: ["invalid_parameter", "channel_required"], 403: ["channel_not_allowed"], 404: ["batch_not_found"] },
  });
}

function getJob(): Schema {
  const applied = { "preference-applied": "The wait that was applied, if `Prefer` asked for one." };
  return operation({
    id: "getJob",
    tag: "Jobs",
    summary: "Gets a job",
    text: "With `wait`, answers as soon as the job has ended, or when the time is up.",
    opens: "read",
    parameters: [jobId(), ...waiting()],
    answers: { 200: json("The job has ended.", "Job", applied), 202: json("The job has not ended yet.", "Job", applied) },
    refuses: { 400: ["invalid_parameter"], 404: NO_SUCH_JOB },
  });
}

function jobEvents(): Schema {
  return operation({
    id: "jobEvents",
    tag: "Jobs",
    summary: "Streams a job's events",
    text: "Server-Sent Events from the job's beginning, or from after a given event, until its end. With `wait`, or if `Accept` contains application/json but not text/event-stream, the answer is a JSON list (long-poll).",
    opens: "read",
    parameters: [
      jobId(),
      {
        name: "Last-Event-ID",
        in: "header",
        description: "The `seq` of the last event you have.",
        schema: { type: "integer", minimum: 0 },
      },
      query("after", "The same as `Last-Event-ID`, in the URL.", { type: "integer", minimum: 0, default: 0 }),
      query("deltas", "`false` leaves out deltas.", { type: "boolean", default: true }),
      ...waiting(),
    ],
    answers: {
      200: {
        text: "The job's events.",
        headers: { "preference-applied": "The wait that was applied, if `Prefer` asked for one." },
        content: {
          "text/event-stream": eventStream(
            "`event` and `data` are those of a `JobEvent`, `id` is its `seq`. A comment is sent every 15 seconds to keep the connection open.",
          ),
          "application/json": "EventList",
        },
      },
      204: { text: "Stream only: the job has ended and you already have its last event." },
    },
    refuses: { 400: ["invalid_parameter"], 404: NO_SUCH_JOB },
  });
}

function whyJob(): Schema {
  return operation({
    id: "whyJob",
    tag: "Jobs",
    summary: "Explains why a job waits",
    opens: "read",
    parameters: [jobId()],
    answers: { 200: json("The reason, in words and numbers.", "JobWhy") },
    refuses: { 404: NO_SUCH_JOB },
  });
}

function cancelJob(): Schema {
  return operation({
    id: "cancelJob",
    tag: "Jobs",
    summary: "Cancels a job",
    text: "A running call is aborted. A job that has already ended is not changed.",
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
    summary: "Lists the deliveries to the job's webhook",
    text: "Empty until the job ends, and for a job without a webhook.",
    opens: "read, by key",
    parameters: [jobId()],
    answers: { 200: json("A list of at most one delivery.", "DeliveryList") },
    refuses: { 404: NO_SUCH_JOB },
  });
}

function redeliverEvent(): Schema {
  return operation({
    id: "redeliverEvent",
    tag: "Jobs",
    summary: "Sends a webhook's event again",
    text: "Sent at once, whatever its status; if that fails, the retry schedule starts over.",
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
    summary: "Opens a WebSocket for events of jobs and channels",
    text: "The frames are JSON text, described in docs/api.md. A browser sends the subprotocols `sluice.v1` and `bearer.TOKEN` instead of the Authorization header. To learn why a WebSocket was refused, send the same GET without an upgrade.",
    opens: "read",
    parameters: [
      query("channel", "Holds the socket in that channel's mailbox, which saves a hop per event. It does not subscribe to anything."),
    ],
    answers: { 101: { text: "The socket is open." } },
    refuses: { 400: ["invalid_parameter"], 403: ["channel_not_allowed"], 426: ["upgrade_required"] },
  });
}
