/** What a flow gets back of what its calls were charged and did not use; and what its starts are charged then. */
import type { Lane } from "./lane.ts";
import { isNamedFirst } from "./turns.ts";

/** The rounding error that is undone, in starts. */
const ROUNDING = 1e-6;

/** The part of what a start reserves that is charged whatever its flow has to get back. */
export const LEAST_CHARGE = 1 / 8;

/**
 * How much of its credit a flow gets back at a start that is charged `step` and reserves `reserved` (both divided by its weight): it always pays at least an
 * eighth of what it reserves. With all the credit at once, a flow that got much back from a pause would go before newcomers many times in a row; this way a
 * newcomer has its turn at once, and one turn in nine for as long as the credit lasts. What its calls took beyond their charge it pays in full.
 */
export function giveBack({ credit }: Lane, step: number, reserved: number): number {
  return Math.min(credit, Math.max(0, step - reserved * LEAST_CHARGE));
}

/**
 * What a call gives back to its flow if it used `usedMs` of what it was charged; negative if it used more. At most what a start like it can get back: no such
 * start would ever take more, so the rest would grow for as long as calls reserve far more than they use, and whoever comes later would pay for it.
 */
export function unusedMs(chargedMs: number, usedMs: number, reservedMs: number): number {
  return Math.min(chargedMs - usedMs, Math.max(0, chargedMs - reservedMs * LEAST_CHARGE));
}

/** What this many starts are charged in all, less the flow's credit: `step` each, and at least `least` each (both divided by the flow's weight). */
export function chargeOf(lane: Lane, starts: number, step: number, least: number): number {
  return starts === 0 ? 0 : Math.max(starts * least, starts * step - creditOf(lane));
}

/**
 * How many jobs a lane that begins at `begin` starts before the virtual time `turn` of another, or at it if its name comes first. Names are compared only where
 * they decide.
 */
export function startsBefore(lane: Lane, other: Lane, begin: number, turn: number, step: number, least: number): number {
  if (begin > turn || (begin === turn && !isNamedFirst(lane, other))) return 0;
  const more = exact(Math.min((turn - begin) / least, (turn - begin + creditOf(lane)) / step));
  const whole = Math.ceil(more);
  // What the lane has to pay is charged at its first start, and does not delay that.
  return Math.max(1, whole === more && isNamedFirst(lane, other) ? whole + 1 : whole);
}

/** What a lane has to get back once it may start. A capped lane then has nothing left: its credit is taken off before (`rejoin`). */
function creditOf({ credit, isCapped }: Lane): number {
  return isCapped ? 0 : credit;
}

/**
 * Undoes the rounding error of a number of starts: flows that are charged alike have their turns at the same virtual time, and there a whole number decides.
 */
function exact(starts: number): number {
  const whole = Math.round(starts);
  return Math.abs(starts - whole) < ROUNDING ? whole : starts;
}

/** A flow comes back from idleness, or from behind its own cap. Its credit is taken off first, and counts only as far as that brings it down to the present. */
export function rejoin(lane: Lane, present: number): void {
  lane.virtual -= lane.credit;
  lane.credit = 0;
  lift(lane, present);
}

/** The part of its debt that a flow has not paid yet: others have had the rest since, while it waited. */
export function keptDebt({ debt, virtual }: Lane, present: number): number {
  return Math.min(debt, Math.max(0, virtual - present));
}

/** Lifts a flow to the present: it is owed nothing from before. */
export function lift(lane: Lane, present: number): void {
  if (lane.virtual >= present) return;
  lane.virtual = present;
  lane.owes = lane.yields;
}
