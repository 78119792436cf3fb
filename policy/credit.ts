/**
 * How far a pool is trusted that was refused for the rate. Upstream may count otherwise than is believed here, whatever its headers say or leave out (a
 * day's limit that is used up, say), and each call that is let go to find out is one more refusal. Law: of the calls that are let go in doubt, at most as many
 * are refused as are taken, twenty more, and one for each twenty seconds; and of those that were taken, the last minutes' count.
 */
export type Credit = {
  /** Refusals that may still be run into. */
  readonly left: number;
  /** As of when, and when a call was last refused, ms. */
  readonly at: number;
  readonly refusedAt: number;
};

const ENOUGH = 20;
/** A pool is not trusted again while refusals come as often as this. ms. */
const QUIET_MS = 60_000;
/** What was gained beyond enough fades in about so long: that calls were taken long ago says nothing of how things are. As long as an answer may take to begin, ms. */
const FADE_MS = 60_000;
/** One refusal in so long is always risked: else nobody would find out that there is room again. */
export const DRIP_MS = 20_000;

/** For longer than this no call waits, whatever upstream asked for (silence.ts): nobody sent any. ms. */
const IDLE_MS = 900_000;

/** Nothing was let go for so long that how things stood then says nothing of now. */
export const wasIdle = (credit: Credit, now: number): boolean => now - credit.at > IDLE_MS;

/** A call that is let go on credit takes one; a refusal keeps it. */
export const risk = (credit: Credit, now: number): Credit => add(credit, -1, now);

/** A call was refused. `risked`: it has paid for that; one that was let go before the pool was in doubt pays now. */
export function refused(credit: Credit | null, risked: boolean, now: number): Credit {
  const known = credit ?? { left: ENOUGH, at: now, refusedAt: now };
  return { ...add(known, risked && credit ? 0 : -1, now), refusedAt: now };
}

/** Not one call's is left: from now on it drips, and that is to be written. */
export const isOut = ({ left }: Credit): boolean => left < 1;

/**
 * After a restart, or a sleep: nobody knows what was let go. `spent`: all but that was, when it was last written. `written`: its credit as it was then; null of old.
 * Law: it was written whenever it was out, so since then it was at least what dripped. Were it to drip anew with each life, an object that sleeps sooner
 * than a drip takes would never call.
 */
export function restored(spent: boolean, written: Credit | null, now: number): Credit {
  const unknown = { left: spent ? 0 : ENOUGH / 4, at: now, refusedAt: now };
  if (!written || !(spent || isOut(written))) return unknown;
  return { ...unknown, left: Math.min(1, dripped(written, now).left) };
}

/** A call was taken; `risked`: it gives back what it took, too. Null: the pool is trusted again. */
export function taken(credit: Credit | null, risked: boolean, now: number): Credit | null {
  if (!credit) return null;
  const next = add(credit, risked ? 2 : 1, now);
  return next.left >= ENOUGH && now - next.refusedAt >= QUIET_MS ? null : next;
}

/** It never came to upstream: what it took is given back. */
export const unasked = (credit: Credit | null, now: number): Credit | null => credit && add(credit, 1, now);

/** Of the credit so much is left to others by a tenant of which nothing is taken while they are: half of what a doubt begins with. */
export const KEPT = ENOUGH / 2;

/** When a call may be let go, ms; from `now` on. With `kept` so much is left over, or one goes when nothing has happened for a while. */
export function readyAt(credit: Credit, now: number, kept = 0): number {
  const { at, left } = dripped(credit, now);
  if (left >= 1 + kept) return now;
  return kept > 0 ? Math.max(now, credit.at + DRIP_MS) : at + (1 - left) * DRIP_MS;
}

/** When the last of so many calls is let go, were all of them refused, ms. */
export function clearedAt(credit: Credit, calls: number, now: number): number {
  const { left } = dripped(credit, now);
  return calls <= left ? now : readyAt(credit, now) + Math.ceil(calls - Math.max(1, left)) * DRIP_MS;
}

/** Nothing but what drips is left. */
export function isSpent(credit: Credit, now: number): boolean {
  return dripped(credit, now).left <= 1;
}

function add(credit: Credit, amount: number, now: number): Credit {
  const known = dripped(credit, now);
  return { ...known, left: Math.max(0, known.left + amount) };
}

function dripped(credit: Credit, now: number): Credit {
  const elapsed = Math.max(0, now - credit.at);
  const left = Math.max(credit.left, Math.min(1, credit.left + elapsed / DRIP_MS));
  const beyond = Math.max(0, left - ENOUGH);
  return { ...credit, left: left - beyond * (1 - Math.exp(-elapsed / FADE_MS)), at: credit.at + elapsed };
}
