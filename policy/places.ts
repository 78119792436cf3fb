/** Where a job stands in its pool, and how many start before it. Virtual times are in ms of the pool's rate, divided by weight. */
import { inflowAt } from "./inflow.ts";
import type { Kind, Lane } from "./lane.ts";
import type { Waiting } from "./queue.ts";
import { type Charge, chargeOf, LEAST_CHARGE, startsBefore } from "./returns.ts";
import { isNamedFirst, type Other, startsUntil } from "./turns.ts";
import type { Uses } from "./use.ts";

/** What a job takes of each resource, in ms of the pool's rate. */
export type Cost = Readonly<Record<Kind, number>>;

/** No start is charged less, ms. */
const LEAST_MS = 1e-9;

export class Places {
  readonly #lanes: ReadonlyMap<string, Lane>;
  readonly #uses: Uses;

  constructor(lanes: ReadonlyMap<string, Lane>, uses: Uses) {
    this.#lanes = lanes;
    this.#uses = uses;
  }

  /**
   * The place of a job in the whole pool, 1 being next: its rank among its flow's own, and of every other flow as many
   * as fair sharing starts before it. Exact while jobs cost the same and no tenant meets its cap; otherwise by this job's cost. `present`: the virtual time of now.
   */
  position({ flow, tokens }: Waiting, cost: Cost, rank: number, present: number): number {
    const own = this.#lanes.get(flow);
    if (!own) return 1;
    const known = this.#uses.part;
    const turn = turnOf(own, rank, this.#charge(own, cost, tokens, known), present);
    let ahead = rank;
    for (const lane of this.#lanes.values()) {
      if (lane === own || lane.size === 0) continue;
      const charge = this.#charge(lane, cost, tokens, known);
      ahead += Math.min(lane.size, startsBefore(lane, begins(lane, charge, present), turn, isNamedFirst(lane, own), charge));
    }
    return ahead + 1;
  }

  /**
   * How many of the pool start before the turn of a job that `own` of its flow are before. `startMs`: how often one starts, ms. Unlike its place, which tells of those that wait in the order as it stands,
   * this counts those that will come as well. `since`: when the first of all came, ms.
   */
  before(
    { flow, tokens }: Waiting,
    cost: Cost,
    own: number,
    present: number,
    inflow: { startMs: number; since: number; now: number },
  ): number {
    const lane = this.#lanes.get(flow)!;
    const known = this.#uses.part;
    const turn = turnOf(lane, own, this.#charge(lane, cost, tokens, known), present);
    const others: Other[] = [];
    for (const other of this.#lanes.values()) {
      const comes = other === lane ? 0 : inflowAt(other.inflow, inflow.since, inflow.now) * inflow.startMs;
      if (other === lane || (other.size === 0 && comes === 0)) continue;
      const charge = this.#charge(other, cost, tokens, known);
      const begin = other.size === 0 ? Math.max(other.virtual, present) : begins(other, charge, present);
      others.push({ fair: startsBefore(other, begin, turn, isNamedFirst(other, lane), charge), waiting: other.size, inflow: comes });
    }
    return startsUntil(own, others);
  }

  /** What a flow is charged for a start of this cost. */
  #charge({ use, weight }: Lane, cost: Cost, tokens: number, known: number): Charge {
    const reserved = Math.max(cost.requests, cost.tokens, LEAST_MS);
    const charged = Math.max(cost.requests, cost.tokens * this.#uses.partOf(use, tokens, known), LEAST_MS);
    return { step: charged / weight, least: (reserved * LEAST_CHARGE) / weight };
  }
}

/** The virtual time at which a job of a flow starts that `rank` of its own are before, all charged alike. */
function turnOf(lane: Lane, rank: number, charge: Charge, present: number): number {
  return begins(lane, charge, present) + chargeOf(lane, rank, charge);
}

/** The virtual time at which a flow's first job starts, if that is charged so much. */
function begins(lane: Lane, { step }: Charge, present: number): number {
  const isBehind = lane.isCapped && lane.virtual < present;
  const owed = lane.owes || (isBehind && lane.yields) ? step : 0;
  return (isBehind ? present : lane.virtual) + owed;
}
