/** A job as clients see it. */

import { jobId } from "../../platform/ids.ts";
import { publicChannel } from "../../platform/mailboxes.ts";
import type { Job, JobStatus } from "../../schemas/job.ts";
import type { MailboxAddress, Place } from "../../schemas/rpc.ts";
import type { JobRow } from "./store/store.ts";

export type Standing = {
  place: Place | null;
  /** When the current attempt began, ms; null if none is known to run. */
  runningSince: number | null;
  now: number;
};

export function idOf(address: MailboxAddress, row: Pick<JobRow, "n" | "nonce" | "accepted_at">): string {
  return jobId(address.tenant, { channel: address.channel, number: row.n, nonce: row.nonce, at: row.accepted_at });
}

/** `response`: the completion as JSON text, if there is one; `id`: the job's, where it is already known. */
export function jobOf(address: MailboxAddress, row: JobRow, standing: Standing, response: string | null, id = idOf(address, row)): Job {
  const { place } = standing;
  const status = statusOf(row, standing);
  return {
    id,
    object: "job",
    status,
    channel: publicChannel(address.channel),
    model: row.model,
    priority: row.priority,
    created_at: seconds(row.accepted_at),
    not_before: row.not_before === null ? null : row.not_before / 1_000,
    deadline: row.deadline === null ? null : row.deadline / 1_000,
    started_at:
      row.started_at === null ? (standing.runningSince === null ? null : seconds(standing.runningSince)) : seconds(row.started_at),
    ended_at: row.ended_at === null ? null : seconds(row.ended_at),
    attempts: row.ended_at === null && status === "in_progress" ? Math.max(1, row.attempts) : row.attempts,
    possible_duplicates: repeated(row),
    position: row.ended_at === null ? (place?.position ?? null) : null,
    eta: row.ended_at === null ? (place?.eta ?? null) : null,
    usage: parse(row.usage),
    response: response === null ? null : JSON.parse(response),
    error: parse(row.error),
    metadata: row.metadata,
    ...(row.ended_at === null && place?.failure && { last_failure: place.failure }),
  };
}

/**
 * Calls of unknown outcome that were made again, including the last call of the failed job that this one repeats, if doubtful. Before the end, and for a job
 * that was ended from outside, the last call of unknown outcome may not have been repeated.
 */
function repeated({ attempts, doubtful, status, unknown }: JobRow): number {
  const again = doubtful && attempts > 0 ? 1 : 0;
  return again + (status === "completed" || status === "failed" ? unknown : Math.min(unknown, Math.max(0, attempts - 1)));
}

/** The state of a job to which nothing has happened. */
export const UNBORN = {
  status: "queued" as const,
  attempt: 0,
  attempts: 0,
  unknown: 0,
  started_at: null,
  ended_at: null,
  usage: null,
  error: null,
  log: null,
};

/** The job as it was accepted: the data of its first event, whenever that is told. */
export function asAccepted(address: MailboxAddress, row: JobRow): Job {
  return jobOf(address, { ...row, ...UNBORN }, { place: null, runningSince: null, now: row.accepted_at }, null);
}

export function statusOf(row: JobRow, { place, runningSince, now }: Standing): JobStatus {
  if (row.status !== "queued") return row.status;
  // The coordinator's word is newer than what is remembered here: a job whose attempt met a rate limit is queued again without the mailbox being told.
  if (place ? place.state === "running" : runningSince !== null) return "in_progress";
  return row.not_before !== null && row.not_before > now ? "scheduled" : "queued";
}

/** Whole Unix seconds, as in OpenAI's objects. */
function seconds(ms: number): number {
  return Math.floor(ms / 1_000);
}

function parse<T>(json: string | null): T | null {
  return json === null ? null : (JSON.parse(json) as T);
}
