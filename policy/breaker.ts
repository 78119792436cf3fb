/** Whether upstream is down for a pool, judged by the latest calls. Law: one failure is never enough, nor is one job, however often it fails. */

export type Ended = { at: number; job: string; failed: boolean };

/** The calls considered: at most this many, and none that ended longer ago than this. */
const MOST_CALLS = 50;
const LONGEST_MS = 60_000;
/** Down means at least this many failures, of at least this many jobs, and at least this share of all calls. */
const LEAST_FAILURES = 5;
const LEAST_JOBS = 3;
const SHARE = 1 / 2;

/** Notes how a call ended; `recent` is oldest first. */
export function noteEnded(recent: Ended[], ended: Ended): void {
  recent.push(ended);
  if (recent.length > MOST_CALLS) recent.shift();
}

export function isDown(recent: readonly Ended[], now: number): boolean {
  const seen = recent.filter(({ at }) => at > now - LONGEST_MS);
  const failed = seen.filter(({ failed }) => failed);
  if (failed.length < LEAST_FAILURES || failed.length < seen.length * SHARE) return false;
  return new Set(failed.map(({ job }) => job)).size >= LEAST_JOBS;
}
