/** A submission becomes a job. */
import type { Submission } from "../../schemas/rpc.ts";
import type { JobRow } from "./store/store.ts";
import { UNBORN } from "./view.ts";

export function born(submission: Submission, n: number, place: number | undefined, now: number): JobRow {
  const { batch, call, doubtful, idempotency, open, prompt, timeouts, webhook } = submission;
  const row: JobRow = {
    ...UNBORN,
    n,
    nonce: submission.nonce,
    accepted_at: now,
    model: submission.model,
    pool: submission.pool,
    priority: submission.priority,
    tokens: submission.tokens,
    not_before: submission.notBefore,
    deadline: deadlineOf(submission, now),
    retry: submission.retry,
    metadata: submission.metadata,
    idempotency_key: idempotency?.key ?? null,
  };
  if (call) row.call = call;
  if (batch) row.batch = batch;
  if (prompt !== undefined) row.prompt = prompt;
  if (open) row.open = open;
  if (timeouts) row.timeouts = timeouts;
  if (webhook !== undefined) row.webhook = webhook;
  if (doubtful) row.doubtful = doubtful;
  if (place !== undefined) row.place = place;
  return row;
}

/** The earlier of its own deadline and the end of its allowed wait, counted from when it could start. */
function deadlineOf({ deadline, notBefore, queueMs }: Submission, now: number): number | null {
  if (queueMs === undefined) return deadline;
  return Math.min(deadline ?? Number.POSITIVE_INFINITY, Math.round(Math.max(now, notBefore ?? 0) + queueMs));
}
