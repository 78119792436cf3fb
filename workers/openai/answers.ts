/** What a call is answered with, in OpenAI's shapes and with OpenAI's headers. */
import { durationText } from "../../policy/duration.ts";
import type { Job } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Allowance, Share } from "../../schemas/rpc.ts";

/** Times of a call as the door saw them, ms; null for what has not happened. */
export type Times = { submitted: number; started: number | null; ended: number | null };

export function headersOf(job: string, share: Share | null, { submitted, started, ended }: Times): Record<string, string> {
  return {
    "x-sluice-job": job,
    ...(started !== null && { "x-sluice-queue-ms": String(started - submitted) }),
    ...(started !== null && ended !== null && { "openai-processing-ms": String(ended - started) }),
    ...limits("requests", share?.requests),
    ...limits("tokens", share?.tokens),
  };
}

function limits(resource: string, allowance: Allowance | null | undefined): Record<string, string> {
  if (!allowance) return {};
  return {
    [`x-ratelimit-limit-${resource}`]: String(allowance.limit),
    [`x-ratelimit-remaining-${resource}`]: String(allowance.remaining),
    [`x-ratelimit-reset-${resource}`]: durationText(allowance.resetMs),
  };
}

/** Why an ended job has no answer; null if it has one. */
export function problemOf({ error, id, status }: Job): Problem | null {
  if (status === "completed") return null;
  if (status === "cancelled")
    return { status: 409, type: "invalid_request_error", code: "job_cancelled", message: `The job ${id} was cancelled.`, param: null };
  if (status === "expired") {
    const message = `The job ${id} expired: it did not start before its deadline.`;
    return { status: 408, type: "invalid_request_error", code: "deadline_passed", message, param: null };
  }
  return error ?? { status: 500, type: "server_error", code: null, message: `The job ${id} failed.`, param: null };
}

/** For a caller that is about to give up while its job is still running: repeating the call finds the same job. */
export function stillOnItsWay(job: string): Problem {
  const message = `The job ${job} has not ended within this client's time-out, but it goes on. Repeat the same call to keep waiting, or read GET /v1/jobs/${job}.`;
  return { status: 429, type: "rate_limit_error", code: "job_not_finished", message, param: null };
}

/** OpenAI's SDKs obey this header. Sluice has already retried whatever a retry could cure, so only a caller that was told to wait should come back. */
export const shouldRetry = (retry: boolean): Record<string, string> => ({ "x-should-retry": String(retry) });
