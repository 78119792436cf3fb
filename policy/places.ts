/** Where a job stands in its pool, and how many start before it. Virtual times are in ms of the pool's rate, divided by weight. */
import { inflowAt } from "./inflow.ts";
import type { Kind, Lane } from "./lane.ts";
import type { Waiting } from "./queue.ts";
import { chargeOf, startsBefore } from "./returns.ts";
import { isNamedFirst, type Other, startsUntil } from "./turns.ts";
import type { Use } from "./use.ts";

/** What a job takes of each resource, in ms of the pool's rate. */
export type Cost = Readonly<Record<Kind, number>>;

/** No start is charged less, ms. */
const LEAST_MS = 1e-9;

export class Places {
  readonly #lanes: ReadonlyMap<string, Lane>;
  /** What calls of all flows use of what they reserve. */
  readonly #use: Use;

  constructor(lanes: ReadonlyMap<string, Lane>, use: Use) {
    this.#lanes = lanes;
    this.#use = use;
  }

  /**
   * The place of a job in the whole pool, 1 being next: its rank among its flow's own, and of every other flow as many
   * as fair sharing starts before it. Exact while jobs cost the same and no tenant meets its cap; otherwise by this job's cost. `present`: the virtual time of now.
   */
  position({ flow }: Waiting, cost: Cost, rank: number, present: number): number {
    const own = this.#lanes.get(flow);
    if (!own) return 1;
    const turn = this.#turnOf(own, rank, cost, present);
    let ahead = rank;
    for (const lane of this.#lanes.values()) {
      if (lane === own) continue;
      const step = this.#step(lane, cost);
      ahead += Math.min(lane.size, startsBefore(lane, begins(lane, step, present), turn, isNamedFirst(lane, own), step));
    }
    return ahead + 1;
  }

  /**
   * How many of the pool start before the turn of a job that `own` of its flow are before. `startMs`: how often one starts, ms. Unlike its place, which tells of those that wait in the order as it stands,
   * this counts those that will come as well. `since`: when the first of all came, ms.
   */
  before({ flow }: Waiting, cost: Cost, own: number, present: number, inflow: { startMs: number; since: number; now: number }): number {
    const lane = this.#lanes.get(flow)!;
    const turn = this.#turnOf(lane, own, cost, present);
    const others: Other[] = [];
    for (const other of this.#lanes.values()) {
      const comes = other === lane ? 0 : inflowAt(other.inflow, inflow.since, inflow.now) * inflow.startMs;
      if (other === lane || (other.size === 0 && comes === 0)) continue;
      const step = this.#step(other, cost);
      const begin = other.size === 0 ? Math.max(other.virtual, present) : begins(other, step, present);
      others.push({ fair: startsBefore(other, begin, turn, isNamedFirst(other, lane), step), waiting: other.size, inflow: comes });
    }
    return startsUntil(own, others);
  }

  /** What a flow is charged for a start of this cost. */
  #step(lane: Lane, { requests, tokens }: Cost): number {
    return Math.max(requests, tokens * lane.use.part(this.#use), LEAST_MS) / lane.weight;
  }

  /** The virtual time at which a job of a flow starts that `rank` of its own are before, all of this cost. */
  #turnOf(lane: Lane, rank: number, cost: Cost, present: number): number {
    const step = this.#step(lane, cost);
    return begins(lane, step, present) + chargeOf(lane, rank, step);
  }
}

/** The virtual time at which a flow's first job starts, if that is charged so much. */
function begins(lane: Lane, step: number, present: number): number {
  const isBehind = lane.isCapped && lane.virtual < present;
  const owed = lane.owes || (isBehind && lane.yields) ? step : 0;
  return (isBehind ? present : lane.virtual) + owed;
}
