/**
 * How far a pool is trusted that was refused for the rate. Upstream may count otherwise than is believed here, whatever its headers say or leave out (a
 * day's limit that is used up, say), and each call that is let go to find out is one more refusal. Law: in any time there are at most as many refusals as
 * calls that were taken, twenty more, and one for each twenty seconds; and while the limits that are believed hold, nothing is held back.
 */
export type Credit = {
  /** Refusals that may still be run into. */
  readonly left: number;
  /** As of when, ms. */
  readonly at: number;
};

const MOST = 20;
/** One refusal in so long is always risked: else nobody would find out that there is room again. */
const DRIP_MS = 20_000;

/** A call that is let go on credit takes one; a refusal keeps it. */
export const risk = (credit: Credit, now: number): Credit => add(credit, -1, now);
/** One that was let go before the pool was in doubt was refused. */
export const refused = (credit: Credit | null, now: number): Credit => add(credit ?? { left: MOST, at: now }, -1, now);

/** A call was taken; `risked`: it gives back what it took, too. Null: the pool is trusted again. */
export function taken(credit: Credit | null, risked: boolean, now: number): Credit | null {
  if (!credit) return null;
  const next = add(credit, risked ? 2 : 1, now);
  return next.left >= MOST ? null : next;
}

/** It never came to upstream: what it took is given back. */
export const unasked = (credit: Credit | null, now: number): Credit | null => credit && add(credit, 1, now);

/** When a call may be let go, ms; from `now` on. */
export function readyAt(credit: Credit, now: number): number {
  const { at, left } = dripped(credit, now);
  return left >= 1 ? now : at + (1 - left) * DRIP_MS;
}

/** Nothing but what drips is left. */
export function isSpent(credit: Credit, now: number): boolean {
  return dripped(credit, now).left <= 1;
}

function add(credit: Credit, amount: number, now: number): Credit {
  const { at, left } = dripped(credit, now);
  return { left: Math.min(MOST, Math.max(0, left + amount)), at };
}

function dripped({ at, left }: Credit, now: number): Credit {
  return { left: Math.max(left, Math.min(1, left + Math.max(0, now - at) / DRIP_MS)), at: Math.max(now, at) };
}
