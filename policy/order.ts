/**
 * Who is next in a pool. Law: among tenants with work waiting, service in the scarcer resource divided by weight
 * differs by at most two largest jobs (dominant-resource fair queueing, Ghodsi et al., SIGCOMM 2012).
 *
 * A tenant's virtual time grows by the cost of what it starts; the least virtual time is next. One that returns after
 * idleness begins at the present virtual time: no back pay. Within a tenant, `Queue` orders.
 */
import { MinHeap } from "./heap.ts";
import { Queue, type Waiting } from "./queue.ts";

export type Lane = {
  readonly tenant: string;
  readonly weight: number;
  virtual: number;
  credit: number;
  readonly queue: Queue;
  inHeap: boolean;
};

export class Order {
  readonly lanes = new Map<string, Lane>();
  readonly #heap = new MinHeap<Lane>((a, b) => a.virtual < b.virtual || (a.virtual === b.virtual && a.tenant < b.tenant));
  readonly #weightOf: (tenant: string) => number;
  /** Virtual time of the last start: where a returning tenant begins. */
  #virtual = 0;
  #size = 0;

  constructor(weightOf: (tenant: string) => number) {
    this.#weightOf = weightOf;
  }

  get size(): number {
    return this.#size;
  }

  add(waiting: Waiting): void {
    const lane = this.#lane(waiting.tenant);
    // One that still lies empty in the heap was not passed by yet, and a key must not change in there.
    if (!lane.inHeap) rejoin(lane, this.#virtual);
    lane.queue.add(waiting);
    this.#size++;
    this.#enter(lane);
  }

  remove(waiting: Waiting): void {
    if (this.lanes.get(waiting.tenant)?.queue.remove(waiting)) this.#size--;
  }

  /**
   * Takes out the next job that `starts` lets go. `starts` answers "start" and has then reserved; "lane" when
   * only this tenant must wait (its own cap); "pool" when all must.
   */
  next(starts: (waiting: Waiting) => "start" | "lane" | "pool", costOf: (waiting: Waiting) => number): Waiting | null {
    const passed: Lane[] = [];
    let chosen: Waiting | null = null;
    for (let lane = this.#least(); lane && !chosen; lane = this.#least()) {
      const waiting = lane.queue.first()!;
      const answer = starts(waiting);
      if (answer === "pool") break;
      this.#heap.pop();
      if (answer === "lane") {
        passed.push(lane);
        continue;
      }
      lane.inHeap = false;
      chosen = lane.queue.takeFirst()!;
      this.#size--;
      this.#virtual = Math.max(this.#virtual, lane.virtual);
      lane.virtual += costOf(waiting) / lane.weight - lane.credit;
      lane.credit = 0;
      this.#enter(lane);
    }
    for (const lane of passed) this.#heap.push(lane);
    return chosen;
  }

  /** Gives back virtual time for what a job turned out not to use (`unusedMs` of the pool's rate); counts from the tenant's next start. */
  credit(tenant: string, unusedMs: number): void {
    const lane = this.lanes.get(tenant);
    // Kept aside until the lane is out of the heap: a key must not change inside it.
    if (lane) lane.credit += unusedMs / lane.weight;
  }

  /**
   * The place of a job in the whole pool, 1 being next: its rank among its tenant's own, and of every other tenant as many
   * as fair sharing starts before it. Exact while jobs cost the same and no tenant meets its cap; otherwise by this job's cost.
   */
  position(waiting: Waiting, costMs: number): number {
    const own = this.lanes.get(waiting.tenant);
    if (!own) return 1;
    const rank = own.queue.rank(waiting);
    const step = Math.max(costMs, 1e-9);
    const turn = rank === 0 ? own.virtual : Math.max(own.virtual, own.virtual - own.credit + (rank * step) / own.weight);
    let ahead = rank;
    for (const lane of this.lanes.values()) {
      if (lane !== own) ahead += Math.min(lane.queue.size, startsBefore(lane, turn, lane.tenant < own.tenant, step));
    }
    return ahead + 1;
  }

  #lane(tenant: string): Lane {
    let lane = this.lanes.get(tenant);
    if (!lane) {
      lane = { tenant, weight: this.#weightOf(tenant), virtual: 0, credit: 0, queue: new Queue(), inHeap: false };
      this.lanes.set(tenant, lane);
    }
    return lane;
  }

  #enter(lane: Lane): void {
    if (lane.inHeap || lane.queue.size === 0) return;
    lane.inHeap = true;
    this.#heap.push(lane);
  }

  /** The lane with the least virtual time; lanes that ran empty leave the heap here. */
  #least(): Lane | undefined {
    for (let lane = this.#heap.peek(); lane; lane = this.#heap.peek()) {
      if (lane.queue.size > 0) return lane;
      this.#heap.pop();
      lane.inHeap = false;
    }
    return undefined;
  }
}

/** A tenant comes back from idleness. What it may get back is taken off first: the present forgives the rest of its charge. */
function rejoin(lane: Lane, present: number): void {
  lane.virtual = Math.max(lane.virtual - lane.credit, present);
  lane.credit = 0;
}

/** How many jobs of this cost a lane starts before the virtual time `turn`; `tied`: and at it, where its name comes first. */
function startsBefore(lane: Lane, turn: number, tied: boolean, costMs: number): number {
  if (tied ? lane.virtual > turn : lane.virtual >= turn) return 0;
  const more = ((turn - lane.virtual + lane.credit) * lane.weight) / costMs;
  return tied ? Math.floor(more) + 1 : Math.ceil(more);
}
