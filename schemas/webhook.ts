import type { Job, JobEnd } from "./job.ts";

/** Longest webhook URL, in characters. */
export const WEBHOOK_URL_LIMIT = 2_048;

/**
 * What a webhook receives, in the shape of OpenAI's events. `data` is the job as `GET /v1/jobs/{id}` shows it; `truncated` means that its response
 * or error message is too long for an event and must be fetched there.
 */
export type JobEndedEvent = {
  /** The same on every delivery attempt; also the `webhook-id` header. */
  id: string;
  object: "event";
  type: `job.${JobEnd}`;
  /** Unix seconds: when the job ended. */
  created_at: number;
  data: Job & { truncated: boolean };
};

/** As OpenAI sends it: fetch the batch to learn its result. */
export type BatchEndedEvent = {
  id: string;
  object: "event";
  type: "batch.completed" | "batch.failed" | "batch.expired" | "batch.cancelled";
  created_at: number;
  data: { id: string };
};

export type WebhookEvent = JobEndedEvent | BatchEndedEvent;

/** `pending`: still to be sent, or retried. `failed`: all attempts were in vain. `disabled`: its URL answered 410. */
export type DeliveryStatus = "pending" | "delivered" | "failed" | "disabled";

/** Why an attempt failed, where no HTTP status says so. */
export type DeliveryError = "timed_out" | "unreachable" | "unsigned";

/** The delivery of an event to a webhook. Times are Unix seconds. */
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
  /** The receiver's last status; null if it did not answer. */
  last_status: number | null;
  last_error: DeliveryError | null;
  next_attempt_at: number | null;
};
