/**
 * How much a mailbox takes on: an object stores 10 GB, and then writes nothing more but deletions. Law: no answer is paid for that could not be kept, so new jobs end well before
 * that, and new calls before it; what is deleted makes room again.
 */

/** Bytes. A gigabyte is left to the answers of what was taken in. */
const NO_MORE_JOBS = 9_000_000_000;
/** And a fifth of that to those of calls that are under way. */
const NO_MORE_CALLS = 9_800_000_000;

/** `stored`, here and below: bytes that the object stores, without what was deleted. */
export function takesJobs(stored: number): boolean {
  return stored < NO_MORE_JOBS;
}

export function keepsAnswers(stored: number): boolean {
  return stored < NO_MORE_CALLS;
}
