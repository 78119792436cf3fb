/** Whether upstream is down for a pool, by the calls that ended last. Law: one failure never says so, nor one job, however often it fails. */

export type Ended = { at: number; job: string; failed: boolean };

/** The calls that are looked at: so many at the most, and none that ended longer ago. */
const MOST_CALLS = 50;
const LONGEST_MS = 60_000;
/** Down: at least so many failures, of so many jobs, and so great a share of all calls. */
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
