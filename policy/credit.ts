/**
 * How far a pool is trusted after it was refused for the rate. Upstream may count differently than we believe, whatever its headers say or leave out (a day's
 * limit may be used up, say), and each call started to find out is one more refusal. Law: of the calls started in doubt, at most as many are refused as are
 * taken, plus twenty, plus one for each twenty seconds; and only calls taken in the last minutes count.
 */
export type Credit = {
  /** Refusals that may still be risked. */
  readonly left: number;
  /** When `left` was computed, and when a call was last refused, ms. */
  readonly at: number;
  readonly refusedAt: number;
};

const ENOUGH = 20;
/** A pool is not trusted again until this long after its last refusal, ms. */
const QUIET_MS = 60_000;
/** Credit beyond `ENOUGH` fades in about this time: calls taken long ago say nothing about now. As long as an answer may take to begin, ms. */
const FADE_MS = 60_000;
/** One refusal per this time is always risked, or nobody would find out that there is room again. */
export const DRIP_MS = 20_000;

/** No call waits longer than this, whatever upstream asked for (silence.ts): a longer gap means that there was none to send. ms. */
const IDLE_MS = 900_000;

/** Whether no call started for so long that the state of then says nothing about now. */
export const wasIdle = (credit: Credit, now: number): boolean => now - credit.at > IDLE_MS;

/** A call started on credit takes one; if it is refused, that one is gone. */
export const risk = (credit: Credit, now: number): Credit => add(credit, -1, now);

/** A call was refused. `risked`: it paid when it started; a call that started before the pool was in doubt pays now. */
export function refused(credit: Credit | null, risked: boolean, now: number): Credit {
  const known = credit ?? { left: ENOUGH, at: now, refusedAt: now };
  return { ...add(known, risked && credit ? 0 : -1, now), refusedAt: now };
}

/** Less than one call's worth is left: from now on credit drips in, and that must be stored. */
export const isOut = ({ left }: Credit): boolean => left < 1;

/**
 * The credit after a restart or a sleep, when nobody knows what was started. `spent`: whether it was all but used up when last stored. `written`: the credit
 * stored then; null in records of older versions. Law: it was stored whenever it was out, so by now it is at least what has dripped in since. If it began to
 * drip anew with each life, an object that goes to sleep before one has dripped in would never make a call.
 */
export function restored(spent: boolean, written: Credit | null, now: number): Credit {
  const unknown = { left: spent ? 0 : ENOUGH / 4, at: now, refusedAt: now };
  if (!written || !(spent || isOut(written))) return unknown;
  return { ...unknown, left: Math.min(1, dripped(written, now).left) };
}

/** A call was taken. `risked`: it also gives back what it took. Null: the pool is trusted again. */
export function taken(credit: Credit | null, risked: boolean, now: number): Credit | null {
  if (!credit) return null;
  const next = add(credit, risked ? 2 : 1, now);
  return next.left >= ENOUGH && now - next.refusedAt >= QUIET_MS ? null : next;
}

/** The call never reached upstream: what it took is given back. */
export const unasked = (credit: Credit | null, now: number): Credit | null => credit && add(credit, 1, now);

/** A tenant whose calls are not taken, while others' are, leaves this much credit to the others: half of what a doubt begins with. */
export const KEPT = ENOUGH / 2;

/** When a call may start, ms; `now` or later. With `kept`, only if that much is left over, or once nothing has happened for `DRIP_MS`. */
export function readyAt(credit: Credit, now: number, kept = 0): number {
  const { at, left } = dripped(credit, now);
  if (left >= 1 + kept) return now;
  return kept > 0 ? Math.max(now, credit.at + DRIP_MS) : at + (1 - left) * DRIP_MS;
}

/** When the last of this many calls starts if all of them are refused, ms. */
export function clearedAt(credit: Credit, calls: number, now: number): number {
  const { left } = dripped(credit, now);
  return calls <= left ? now : readyAt(credit, now) + Math.ceil(calls - Math.max(1, left)) * DRIP_MS;
}

/** Whether nothing is left but what drips in. */
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
