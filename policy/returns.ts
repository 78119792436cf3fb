/** What a flow gets back of what its calls were charged and did not use; and what its starts are charged then. */
import type { Lane } from "./lane.ts";
import { isNamedFirst } from "./turns.ts";

/** Of a start. */
const ROUNDING = 1e-6;

/** The part of what a start reserves that is charged whatever its flow has to get back. */
export const LEAST_CHARGE = 1 / 8;

/**
 * What of its credit a flow gets back at a start that is charged `step`, of `reserved` that it reserves (both divided by its weight): it pays an eighth of this at the least. All of it at once would let a flow to which a pause has brought
 * back much go before whoever comes, many times in a row; so whoever comes has its turn at once, and one in nine for as long as that lasts. What its calls took beyond their charge it
 * pays in full.
 */
export function giveBack({ credit }: Lane, step: number, reserved: number): number {
  return Math.min(credit, Math.max(0, step - reserved * LEAST_CHARGE));
}

/**
 * What a call gives back to its flow that used so much of what it was charged; less than nothing where it used more. No more than a like start gets back: what it gave beyond that, no
 * such start would ever take; it would grow for as long as calls reserve far more than they use, and be paid by whoever comes later.
 */
export function unusedMs(chargedMs: number, usedMs: number, reservedMs: number): number {
  return Math.min(chargedMs - usedMs, Math.max(0, chargedMs - reservedMs * LEAST_CHARGE));
}

/** What so many starts are charged in all, credit counted: each `step`, and `least` of it at the least (both divided by its flow's weight). */
export function chargeOf(lane: Lane, starts: number, step: number, least: number): number {
  return starts === 0 ? 0 : Math.max(starts * least, starts * step - creditOf(lane));
}

/** How many jobs a lane that begins then starts before the virtual time `turn` of another; and at it, where its name comes first. Names are compared only where that decides. */
export function startsBefore(lane: Lane, other: Lane, begin: number, turn: number, step: number, least: number): number {
  if (begin > turn || (begin === turn && !isNamedFirst(lane, other))) return 0;
  const more = exact(Math.min((turn - begin) / least, (turn - begin + creditOf(lane)) / step));
  const whole = Math.ceil(more);
  // What it has to pay counts from its first start on.
  return Math.max(1, whole === more && isNamedFirst(lane, other) ? whole + 1 : whole);
}

/** What it has to get back once it may start: of one that its cap keeps, that is taken off before (`rejoin`). */
function creditOf({ credit, isCapped }: Lane): number {
  return isCapped ? 0 : credit;
}

/** So many starts, where a sum of steps is off by its rounding: flows that are charged alike have their turns at the same virtual time, which decides for all of them. */
function exact(starts: number): number {
  const whole = Math.round(starts);
  return Math.abs(starts - whole) < ROUNDING ? whole : starts;
}

/** A flow comes back from idleness, or from behind a cap of its own. What it may get back is taken off first: the present forgives the rest of its charge. */
export function rejoin(lane: Lane, present: number): void {
  lane.virtual -= lane.credit;
  lane.credit = 0;
  lift(lane, present);
}

/** What of its debt a flow has not paid yet: others had the rest since, while it waited. */
export function keptDebt({ debt, virtual }: Lane, present: number): number {
  return Math.min(debt, Math.max(0, virtual - present));
}

/** Nothing is owed to it of what was before. */
export function lift(lane: Lane, present: number): void {
  if (lane.virtual >= present) return;
  lane.virtual = present;
  lane.owes = lane.yields;
}
