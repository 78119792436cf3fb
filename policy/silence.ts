/**
 * Upstream refused a call for its rate, and said for how long (`Retry-After`). That may hold for all calls, or for that job alone (its size, its model's own
 * limit). Law: the pool is silent for as long as it has been refused already, at least two seconds; then one call is let go to find out, and so on, each after
 * about twice as long. All go on at the time that upstream named last, or once upstream takes a call that was let go after the first of these refusals.
 */
export type Silence = {
  /** When the first of these refusals came, ms. */
  readonly since: number;
  /** The time that upstream named last. */
  readonly until: number;
  /** No call before this. */
  readonly nextAt: number;
};

/** The least silence, and that after a refusal without `Retry-After`. A minute's limit seldom asks for more. */
export const LEAST_MS = 2_000;
/**
 * The longest silence, whatever upstream asks for: one for the rest of a day would hold back a pool that upstream may long serve again. The probes of a halted
 * pool are at most as far apart.
 */
export const MOST_MS = 600_000;

/** Upstream asked for a silence of `afterMs`. */
export function told(last: Silence | null, afterMs: number, now: number): Silence {
  const since = last && now < last.until ? last.since : now;
  const until = now + afterMs;
  return { since, until, nextAt: Math.min(until, now + gapMs(since, now)) };
}

/** When a call may be let go, ms; not before `now`. */
export function readyAt({ nextAt, until }: Silence, now: number): number {
  return Math.max(now, Math.min(nextAt, until));
}

/** A call is let go to find out. If nothing is heard of it, the next one goes at `nextAt`. */
export function start(silence: Silence, now: number): Silence {
  return { ...silence, nextAt: now + gapMs(silence.since, now) };
}

/** The call let go to find out says nothing about the others: another one may go at once. */
export function unheard(silence: Silence, now: number): Silence {
  return { ...silence, nextAt: Math.min(silence.nextAt, now) };
}

/** Whether the outcome of a call tells how things have been since the first refusal. `startedAt`: null if a restart forgot when it was let go. */
export function tells({ since }: Silence, startedAt: number | null): boolean {
  return startedAt !== null && startedAt > since;
}

function gapMs(since: number, now: number): number {
  return Math.max(LEAST_MS, now - since);
}
