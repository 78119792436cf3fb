/**
 * `slow_down`: traffic grew too fast for upstream. Each pool of the account is cut once, to half of what it used, and comes back as upstream's
 * guide asks for: by half in a quarter of an hour. Law: while cut, a pool's starts take at most `share` of its rate, and a second of it at once.
 */
import type { Pace } from "./budget.ts";

/**
 * `factor`: the share of the pool's rate at `at`. `readyAt`: when the starts so far are worked off at that share. `pace`: the rate of which it is a share, as it was
 * when the pool was cut: were a limit lowered as well, both would multiply. One of old has none.
 */
export type Cut = { factor: number; at: number; readyAt: number; pace?: Pace };

/** What a pool used of its rate lately: ms of it, fading. */
export type Use = { ms: number; at: number };

const GROWTH = 1.5;
const GROWTH_MS = 900_000;
const CUT = 1 / 2;
/** Below this a pool would hardly move for an hour. */
const LEAST_FACTOR = 1 / 20;
/** Use is reckoned over about this long. */
const USE_MS = 60_000;
/** A use below this is all the same: it cuts to the least. */
const LITTLE_MS = (USE_MS * LEAST_FACTOR) / CUT;
/** So much of the reduced rate may be taken at once. */
const SLACK_MS = 1_000;

export const NO_USE: Use = { ms: 0, at: 0 };

/** The rate that starts are reckoned by: `present`, or what it was before a cut. */
export function paceFor(last: Cut | null, present: Pace): Pace {
  return last?.pace ?? present;
}

/** A start that takes `costMs` of that rate. */
export function use({ ms, at }: Use, costMs: number, now: number): Use {
  return { ms: ms * Math.exp(-Math.max(0, now - at) / USE_MS) + costMs, at: Math.max(now, at) };
}

/** Whether what was written of a use still stands for it, within a factor of two. */
export function standsFor(written: Use, recent: Use): boolean {
  const [before, now] = [Math.max(LITTLE_MS, written.ms), Math.max(LITTLE_MS, recent.ms)];
  return before <= 2 * now && now <= 2 * before;
}

/** The share of the pool's rate that may be used now; 1 once the pool has come back. */
export function shareAt({ factor, at }: Cut, now: number): number {
  return Math.min(1, factor * GROWTH ** (Math.max(0, now - at) / GROWTH_MS));
}

/** Whether a call began after the last cut, and was let go at what that left; null if a restart forgot when it began. */
export function isDespite(last: Cut | null, startedAt: number | null): boolean {
  return last !== null && startedAt !== null && startedAt > last.at;
}

/** Whether a `slow_down` is the first in a quarter of an hour: upstream speaks of the traffic as it has grown, and not of how a cut was kept. */
export function isFirst(last: Cut | null, now: number): boolean {
  return last === null || now - last.at >= GROWTH_MS;
}

/**
 * Upstream said `slow_down` to a call that began at `startedAt`; null if a restart forgot when. `present`: the pool's rate. Calls from before a cut say nothing new: one cut for
 * all of them.
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
