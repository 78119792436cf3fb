/** The life of a job as a table. Law: an end is never left. */
import type { JobEnd, JobStatus } from "../schemas/job.ts";
import { ENDS } from "../schemas/job.ts";

const NEXT: Record<JobStatus, readonly JobStatus[]> = {
  scheduled: ["queued", "in_progress", "failed", "cancelled", "expired"],
  queued: ["scheduled", "in_progress", "failed", "cancelled", "expired"],
  in_progress: ["queued", "in_progress", "completed", "failed", "cancelled", "expired"],
  completed: [],
  failed: [],
  cancelled: [],
  expired: [],
};

export function mayBecome(from: JobStatus, to: JobStatus): boolean {
  return NEXT[from].includes(to);
}

/** Of a status, or of an event that bears its name. */
export function isEnd(word: string): word is JobEnd {
  return (ENDS as readonly string[]).includes(word);
}
