/** The life of a job as a table. Law: a job that has ended never changes its status. */
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

/** For a status, or an event of the same name. */
export function isEnd(word: string): word is JobEnd {
  return (ENDS as readonly string[]).includes(word);
}
