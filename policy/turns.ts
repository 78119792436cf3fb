/** How flows take turns: who is first, what starts are charged, and how many others a flow starts meanwhile. Virtual times are in ms of the pool's rate, divided by weight. */
import type { Lane } from "./lane.ts";

/** The part of a start's cost that is charged whatever its flow has to get back. */
const LEAST_CHARGE = 1 / 8;

export function comesFirst(a: Lane, b: Lane): boolean {
  return a.virtual < b.virtual || (a.virtual === b.virtual && isNamedFirst(a, b));
}

/** Who is first of those that were served alike. */
export function isNamedFirst(a: Lane, b: Lane): boolean {
  return a.yields === b.yields ? a.flow < b.flow : b.yields;
}

/**
 * What of its credit a flow gets back at a start: of what that is charged, no more than all but an eighth. All of it at once would let a flow to which a pause has brought
 * back much go before whoever comes, many times in a row; so whoever comes has its turn at once, and one in nine for as long as that lasts. What its calls took beyond their charge it
 * pays in full.
 */
export function giveBack({ credit }: Lane, step: number): number {
  return Math.min(credit, step * (1 - LEAST_CHARGE));
}

/**
 * What a call gives back to its flow that used so much of what it was charged: no more than a like start gets back. What it gave beyond that, no such start would ever
 * take; it would grow for as long as calls reserve far more than they use, and be paid by whoever comes later.
 */
export function unusedMs(chargedMs: number, usedMs: number): number {
  return Math.min(chargedMs - usedMs, chargedMs * (1 - LEAST_CHARGE));
}

/** What so many starts of this cost are charged in all, credit counted. */
export function chargeOf({ credit, weight }: Lane, starts: number, costMs: number): number {
  const full = (starts * costMs) / weight;
  return starts === 0 ? 0 : Math.max(full * LEAST_CHARGE, full - credit);
}

/** How many jobs of this cost a lane that begins then starts before the virtual time `turn`; `tied`: and at it, where its name comes first. */
export function startsBefore(lane: Lane, begin: number, turn: number, tied: boolean, costMs: number): number {
  if (tied ? begin > turn : begin >= turn) return 0;
  const step = costMs / lane.weight;
  const more = Math.min((turn - begin) / (step * LEAST_CHARGE), (turn - begin + lane.credit) / step);
  // What it has to pay counts from its first start on.
  return Math.max(1, tied ? Math.floor(more) + 1 : Math.ceil(more));
}

/** Another flow: how many it starts before a turn if it has them, how many it has, and how many come to it for each start of the pool. */
export type Other = { fair: number; waiting: number; inflow: number };

/** More than so much of the pool cannot be told to go to others: what little it leaves is not known that well. */
const MOST_OTHERS = 0.98;
/** Each round finds at least one flow that does not use its turns; nearly always two or three find all. */
const ROUNDS = 8;

/**
 * How many jobs a pool starts before the turn of one that `own` of its flow are before. Others start what waits and what comes until then, up to their fair share: as far as they do not use that, what comes to them
 * grows with the wait. Rounds begin with the longest wait that can be, and come down to the least that bears itself (Newton's steps on a concave function).
 */
export function startsUntil(own: number, others: readonly Other[]): number {
  let starts = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    let [known, growing] = [own, 0];
    for (const { fair, inflow, waiting } of others) {
      if (inflow === 0) known += Math.min(waiting, fair);
      else if (waiting + inflow * starts >= fair) known += fair;
      else [known, growing] = [known + waiting, growing + inflow];
    }
    const next = known / (1 - Math.min(growing, MOST_OTHERS));
    if (starts - next < 1 / 2) return Math.min(starts, next);
    starts = next;
  }
  return starts;
}
