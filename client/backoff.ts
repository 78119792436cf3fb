/** How long to wait before another try. Full jitter: clients that lost the same service do not come back all at once. */

export type Backoff = { baseMs: number; capMs: number };

/** @param tries failed so far, 1 at the first wait. @param random from [0, 1). */
export function backoffMs({ baseMs, capMs }: Backoff, tries: number, random: number): number {
  return random * Math.min(capMs, baseMs * 2 ** (tries - 1));
}

/** `Retry-After` in seconds, from a number or a date (relative to `nowMs`); null if it is missing or unreadable. */
export function retryAfterSeconds(header: string | null, nowMs: number): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, (date - nowMs) / 1_000);
}

/** Resolves after `ms`. @throws the signal's reason as soon as it is aborted; no timer is left behind. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    if (signal.aborted) return fail(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      fail(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      done();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
