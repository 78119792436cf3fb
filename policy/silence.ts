/**
 * Upstream refused a call for the rate, and said for how long (`Retry-After`). That may be so of all calls, or of that job alone (its size, its model's own limit).
 * Law: the pool is silent for as long as it has been refused already, two seconds at the least; then one call is let go to see, and so on, each after about twice as
 * long. All go on at the time that upstream named last, or once a call is taken that was let go since the first of these refusals.
 */
export type Silence = {
  /** Of the first of these refusals, ms. */
  readonly since: number;
  /** The time that upstream named last. */
  readonly until: number;
  /** No call before this. */
  readonly nextAt: number;
};

/** As a refusal without `Retry-After` is left alone for. What a minute's limit asks for is seldom more. */
export const LEAST_MS = 2_000;
/** For so long at the most, whatever upstream asks for: what it says of the rest of a day would keep a pool that it has let go of since. As rarely a halted one is asked. */
export const MOST_MS = 600_000;

/** Upstream asked for so long. */
export function told(last: Silence | null, afterMs: number, now: number): Silence {
  const since = last && now < last.until ? last.since : now;
  const until = now + afterMs;
  return { since, until, nextAt: Math.min(until, now + gapMs(since, now)) };
}

/** When a call may be let go, ms; from `now` on. */
export function readyAt({ nextAt, until }: Silence, now: number): number {
  return Math.max(now, Math.min(nextAt, until));
}

/** A call is let go to see. If nothing is heard of it, the next one is. */
export function start(silence: Silence, now: number): Silence {
  return { ...silence, nextAt: now + gapMs(silence.since, now) };
}

/** The call that was let go to see says nothing of the others: another is, at once. */
export function unheard(silence: Silence, now: number): Silence {
  return { ...silence, nextAt: Math.min(silence.nextAt, now) };
}

/** Whether what is said of a call tells how things are since; null if a restart forgot when it was let go. */
export function tells({ since }: Silence, startedAt: number | null): boolean {
  return startedAt !== null && startedAt > since;
}

function gapMs(since: number, now: number): number {
  return Math.max(LEAST_MS, now - since);
}
