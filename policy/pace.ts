/**
 * `slow_down`: traffic grew too fast for upstream. Each pool of the account is cut once, to half of what it used, and comes back as upstream's
 * guide asks: by half every quarter of an hour. Law: while cut, a pool's starts take at most `share` of its rate, and at most a second of that at once.
 */
import type { Pace } from "./budget.ts";

/**
 * `factor`: the share of the pool's rate at `at`. `readyAt`: when the starts so far are worked off at that share. `pace`: the rate that it is a share of, as it
 * was when the pool was cut: if a limit is lowered as well, the two must not multiply. Older records have none.
 */
export type Cut = { factor: number; at: number; readyAt: number; pace?: Pace };

/** How much of its rate a pool used lately: ms of it, fading. */
export type Use = { ms: number; at: number };

const GROWTH = 1.5;
const GROWTH_MS = 900_000;
const CUT = 1 / 2;
/** Below this a pool would hardly move for an hour. */
const LEAST_FACTOR = 1 / 20;
/** Use is averaged over about this long. */
const USE_MS = 60_000;
/** Any use below this cuts to the least factor. */
const LITTLE_MS = (USE_MS * LEAST_FACTOR) / CUT;
/** How much of the reduced rate may be taken at once. */
const SLACK_MS = 1_000;

export const NO_USE: Use = { ms: 0, at: 0 };

/** The rate that starts are counted by: `present`, or what it was before a cut. */
export function paceFor(last: Cut | null, present: Pace): Pace {
  return last?.pace ?? present;
}

/** The use after a start that takes `costMs` of that rate. */
export function use({ ms, at }: Use, costMs: number, now: number): Use {
  return { ms: ms * Math.exp(-Math.max(0, now - at) / USE_MS) + costMs, at: Math.max(now, at) };
}

/** Whether a use that was written still stands for the recent one, within a factor of two. */
export function standsFor(written: Use, recent: Use): boolean {
  const [before, now] = [Math.max(LITTLE_MS, written.ms), Math.max(LITTLE_MS, recent.ms)];
  return before <= 2 * now && now <= 2 * before;
}

/** The share of the pool's rate that may be used now; 1 once the pool has come back. */
export function shareAt({ factor, at }: Cut, now: number): number {
  return Math.min(1, factor * GROWTH ** (Math.max(0, now - at) / GROWTH_MS));
}

/** Whether a call began after the last cut, and so at the reduced rate. `startedAt`: null if a restart forgot it. */
export function isDespite(last: Cut | null, startedAt: number | null): boolean {
  return last !== null && startedAt !== null && startedAt > last.at;
}

/** Whether a `slow_down` is the first in a quarter of an hour: it is then about how traffic has grown, not about how a cut was kept. */
export function isFirst(last: Cut | null, now: number): boolean {
  return last === null || now - last.at >= GROWTH_MS;
}

/**
 * Upstream said `slow_down` to a call that began at `startedAt` (null if a restart forgot it). `present`: the pool's rate. Calls from before a cut say nothing
 * new: one cut is enough for all of them.
 */
export function cut(last: Cut | null, recent: Use, startedAt: number | null, present: Pace, now: number): Cut {
  if (last && !isDespite(last, startedAt)) return last;
  const used = use(recent, 0, now).ms / USE_MS;
  const share = Math.min(last ? shareAt(last, now) : 1, used);
  return { factor: Math.max(LEAST_FACTOR, share * CUT), at: now, readyAt: now, pace: paceFor(last, present) };
}

/** The earliest instant from `now` on at which a job may start, ms. */
export function readyAt({ readyAt }: Cut, now: number): number {
  return Math.max(now, readyAt - SLACK_MS);
}

/** When the share has let through starts that take `costMs` of the rate, ms. */
export function clearedAt(last: Cut, costMs: number, now: number): number {
  return Math.max(now, last.readyAt - SLACK_MS + costMs / shareAt(last, now));
}

export function start(last: Cut, costMs: number, now: number): Cut {
  return { ...last, readyAt: Math.max(now, last.readyAt) + costMs / shareAt(last, now) };
}
