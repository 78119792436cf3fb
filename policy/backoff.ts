/**
 * Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): the wait is
 * uniform between 0 and the exponential bound, so that jobs that failed together do not come back together.
 */
export const BACKOFF_BASE_MS = 1_000;
export const BACKOFF_CAP_MS = 60_000;

/** ms to wait before the attempt after `failures` failed ones (1 or more). `random` is in [0, 1). `atLeastMs`: upstream's `Retry-After`. */
export function backoffMs(failures: number, random: number, atLeastMs: number | null): number {
  const bound = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(failures - 1, 30));
  return (atLeastMs ?? 0) + random * bound;
}
