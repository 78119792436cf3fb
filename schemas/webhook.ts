import type { Job, JobEnd } from "./job.ts";

/** Characters of a webhook's URL. */
export const WEBHOOK_URL_LIMIT = 2_048;

/**
 * What a webhook is sent: OpenAI's event shape. `data` is the job as `GET /v1/jobs/{id}` shows it; `truncated` says that its response or
 * its error's message is too long for an event, and to be fetched there.
 */
export type JobEndedEvent = {
  /** The same on every attempt to deliver it, and the `webhook-id` header. */
  id: string;
  object: "event";
  type: `job.${JobEnd}`;
  /** Unix seconds: when the job ended. */
  created_at: number;
  data: Job & { truncated: boolean };
};

/** As OpenAI sends it: what became of the batch is asked of the batch. */
export type BatchEndedEvent = {
  id: string;
  object: "event";
  type: "batch.completed" | "batch.failed" | "batch.expired" | "batch.cancelled";
  created_at: number;
  data: { id: string };
};

export type WebhookEvent = JobEndedEvent | BatchEndedEvent;

/** `pending` is sent, or sent again, in its time. `failed`: all attempts were in vain. `disabled`: its URL answered 410. */
export type DeliveryStatus = "pending" | "delivered" | "failed" | "disabled";

/** Why an attempt failed, when no status says it. */
export type DeliveryError = "timed_out" | "unreachable" | "unsigned";

/** What became of an event on its way to a webhook. Times are Unix seconds. */
export type Delivery = {
  /** The event's id. */
  id: string;
  object: "job.delivery";
  job: string;
  type: JobEndedEvent["type"];
  url: string;
  status: DeliveryStatus;
  created_at: number;
  /** Attempts whose outcome is known. */
  attempts: number;
  last_attempt_at: number | null;
  /** What the receiver answered last; null if it did not. */
  last_status: number | null;
  last_error: DeliveryError | null;
  next_attempt_at: number | null;
};
