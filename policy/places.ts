/** Where a job stands in its pool, and how many start before it. Virtual times are in ms of the pool's rate, divided by weight. */
import { inflowAt, lookAt } from "./inflow.ts";
import type { Kind, Lane } from "./lane.ts";
import type { Waiting } from "./queue.ts";
import { chargeOf, LEAST_CHARGE, startsBefore } from "./returns.ts";
import { type Other, startsUntil } from "./turns.ts";
import type { Uses } from "./use.ts";

/** What a job takes of each resource, in ms of the pool's rate. */
export type Cost = Readonly<Record<Kind, number>>;

/** No start is charged less than this, ms. */
const LEAST_MS = 1e-9;

export class Places {
  readonly #lanes: ReadonlyMap<string, Lane>;
  readonly #uses: Uses;

  constructor(lanes: ReadonlyMap<string, Lane>, uses: Uses) {
    this.#lanes = lanes;
    this.#uses = uses;
  }

  /**
   * The place of a job in the whole pool, 1 being next: its rank within its flow, plus the jobs of every other flow that fair sharing starts before it. Exact
   * while jobs cost the same and no tenant meets its cap; otherwise estimated from this job's cost. `present`: the present virtual time.
   */
  position({ flow, tokens }: Waiting, cost: Cost, rank: number, present: number): number {
    const own = this.#lanes.get(flow);
    if (!own) return 1;
    const known = this.#uses.part;
    const leastMs = leastOf(cost);
    const turn = turnOf(own, rank, this.#stepOf(own, cost, tokens, known), leastMs / own.weight, present);
    let ahead = rank;
    for (const lane of this.#lanes.values()) {
      if (lane === own) continue;
      const { size, weight } = lane;
      if (size === 0) continue;
      const step = this.#stepOf(lane, cost, tokens, known);
      ahead += Math.min(size, startsBefore(lane, own, begins(lane, step, present), turn, step, leastMs / weight));
    }
    return ahead + 1;
  }

  /**
   * How many jobs of the pool start before the turn of a job that has `own` of its flow before it. Unlike its place, which counts the jobs that wait now, in
   * the present order, this also counts those still to come. `startMs`: time between starts, ms. `since`: when the pool's first job came, ms.
   */
  before(
    { flow, tokens }: Waiting,
    cost: Cost,
    own: number,
    present: number,
    { now, since, startMs }: { startMs: number; since: number; now: number },
  ): number {
    const lane = this.#lanes.get(flow)!;
    const known = this.#uses.part;
    const leastMs = leastOf(cost);
    const turn = turnOf(lane, own, this.#stepOf(lane, cost, tokens, known), leastMs / lane.weight, present);
    const look = lookAt(since, now);
    const others: Other[] = [];
    for (const other of this.#lanes.values()) {
      if (other === lane) continue;
      const inflow = inflowAt(other.inflow, since, now, look) * startMs;
      const { size: waiting, virtual, weight } = other;
      if (waiting === 0 && inflow === 0) continue;
      const step = this.#stepOf(other, cost, tokens, known);
      const begin = waiting === 0 ? Math.max(virtual, present) : begins(other, step, present);
      others.push({ fair: startsBefore(other, lane, begin, turn, step, leastMs / weight), waiting, inflow });
    }
    return startsUntil(own, others);
  }

  /** What a flow is charged for a start of this cost, divided by its weight. */
  #stepOf({ use, weight }: Lane, cost: Cost, tokens: number, known: number): number {
    return Math.max(cost.requests, cost.tokens * this.#uses.partOf(use, tokens, known), LEAST_MS) / weight;
  }
}

/** What a start of this cost is charged at the least, whatever its flow has to get back. */
function leastOf(cost: Cost): number {
  return Math.max(cost.requests, cost.tokens, LEAST_MS) * LEAST_CHARGE;
}

/** The virtual time at which a job with `rank` of its own flow before it starts, all charged alike. */
function turnOf(lane: Lane, rank: number, step: number, least: number, present: number): number {
  return begins(lane, step, present) + chargeOf(lane, rank, step, least);
}

/** The virtual time at which a flow's first job starts, if it is charged `step`. */
function begins(lane: Lane, step: number, present: number): number {
  const virtual = lane.isCapped ? lane.virtual - lane.credit : lane.virtual;
  const isBehind = lane.isCapped && virtual < present;
  const owed = lane.owes || (isBehind && lane.yields) ? step : 0;
  return (isBehind ? present : virtual) + owed;
}
