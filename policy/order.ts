/**
 * Who is next in a pool. Law: among tenants with work waiting, service in the scarcer resource divided by weight differs by at most two
 * largest jobs (dominant-resource fair queueing, Ghodsi et al., SIGCOMM 2012); and whoever is next starts at most its own cost later
 * than if nobody had been let ahead.
 *
 * A tenant's virtual time grows by the cost of what it starts; the least virtual time is next. One that returns after
 * idleness begins at the present virtual time: no back pay. Within a tenant, `Lane` orders.
 *
 * Packing: while the next job waits for one resource, jobs of the other kind may go ahead, for what they mostly take would be left
 * unspent. In strict order, big jobs before small ones need up to twice the time that their sums do.
 */
import { RankedHeap } from "./heap.ts";
import { KINDS, type Kind, Lane, type Run } from "./lane.ts";
import type { Waiting } from "./queue.ts";

/** `lane`: only this tenant must wait (its own cap). `requests`, `tokens`: the pool lacks that resource. `pool`: all must wait. */
export type Answer = "start" | "lane" | "pool" | Kind;

/** What the order asks of the budget. */
export type Gate = {
  /** Lets a job go; has then reserved for it. */
  starts: (waiting: Waiting) => Answer;
  /** Its dominant cost, in ms of the pool's rate. */
  costMs: (waiting: Waiting) => number;
  /** How long the refill of one resource takes for what the job takes of it, ms. */
  delayMs: (waiting: Waiting, resource: Kind) => number;
  /** Whether tokens are about to be lost in a bucket that is full. */
  tokensIdle: () => boolean;
};

/** Lanes that are looked at for a job to let ahead: a decision stays cheap however many tenants there are. */
const LANES_TRIED = 8;

export class Order {
  readonly lanes = new Map<string, Lane>();
  /** Lanes with jobs of a kind, by virtual time. */
  readonly #heaps: Record<Kind, RankedHeap<Lane>>;
  readonly #weightOf: (tenant: string) => number;
  readonly #kindOf: (waiting: Waiting) => Kind;
  /** Virtual time of the last start in turn: where a returning tenant begins. */
  #virtual = 0;
  #size = 0;
  /** The job that others were let ahead of: it stays the next until it starts, and was delayed by so much. */
  #passed: { waiting: Waiting; delayedMs: number } | null = null;

  constructor(weightOf: (tenant: string) => number, kindOf: (waiting: Waiting) => Kind) {
    this.#weightOf = weightOf;
    this.#kindOf = kindOf;
    this.#heaps = { requests: openHeap("requests"), tokens: openHeap("tokens") };
  }

  get size(): number {
    return this.#size;
  }

  add(waiting: Waiting): void {
    const lane = this.#lane(waiting.tenant);
    if (lane.size === 0) rejoin(lane, this.#virtual);
    lane.add(waiting, this.#kindOf(waiting));
    this.#size++;
    this.#rank(lane);
  }

  remove(waiting: Waiting): void {
    const lane = this.lanes.get(waiting.tenant);
    if (!lane?.remove(waiting)) return;
    this.#size--;
    if (this.#passed?.waiting === waiting) this.#passed = null;
    this.#rank(lane);
  }

  /** These jobs, in order, rest as a run from now on. They keep their places, and count. */
  rest(tenant: string, jobs: readonly Waiting[], run: Run): void {
    const lane = this.lanes.get(tenant)!;
    for (const each of jobs) if (this.#passed?.waiting === each) this.#passed = null;
    lane.rest(jobs, run);
    this.#rank(lane);
  }

  /** After the object itself: a run that rests since before. */
  restored(tenant: string, run: Run): void {
    const lane = this.#lane(tenant);
    lane.rest([], run);
    this.#size += run.size;
  }

  /** The jobs of a run are awake again. */
  wake(tenant: string, jobs: readonly Waiting[], run: Run): void {
    const lane = this.lanes.get(tenant)!;
    lane.wake(run);
    for (const each of jobs) lane.add(each, this.#kindOf(each));
    this.#rank(lane);
  }

  /** Takes out the next job that the gate lets go; null when none may. Nobody may be due to wake. */
  next(gate: Gate): Waiting | null {
    const capped: Lane[] = [];
    let chosen: Waiting | null = null;
    for (let head = this.#head(); head && !chosen; head = this.#head()) {
      if (this.#kindOf(head) === "requests" && gate.tokensIdle()) chosen = this.#letAhead("tokens", head, gate);
      if (chosen) break;
      const answer = gate.starts(head);
      if (answer === "start") {
        chosen = head;
        this.#virtual = Math.max(this.#virtual, this.lanes.get(head.tenant)!.virtual);
        this.#passed = null;
        this.#take(head, gate);
      } else if (answer === "lane") {
        this.#passed = null;
        capped.push(this.#setAside(head.tenant));
      } else {
        if (answer === "tokens") chosen = this.#letAhead("requests", head, gate);
        break;
      }
    }
    for (const lane of capped) this.#rank(lane);
    return chosen;
  }

  /** Gives back virtual time for what a job turned out not to use (`unusedMs` of the pool's rate); counts from the tenant's next start. */
  credit(tenant: string, unusedMs: number): void {
    const lane = this.lanes.get(tenant);
    if (lane) lane.credit += unusedMs / lane.weight;
  }

  /**
   * The place of a job in the whole pool, 1 being next: its rank among its tenant's own, and of every other tenant as many
   * as fair sharing starts before it. Exact while jobs cost the same and no tenant meets its cap; otherwise by this job's cost.
   */
  position(waiting: Waiting, costMs: number): number {
    const own = this.lanes.get(waiting.tenant);
    if (!own) return 1;
    const rank = own.rank(waiting);
    const step = Math.max(costMs, 1e-9);
    const turn = rank === 0 ? own.virtual : Math.max(own.virtual, own.virtual - own.credit + (rank * step) / own.weight);
    let ahead = rank;
    for (const lane of this.lanes.values()) {
      if (lane !== own) ahead += Math.min(lane.size, startsBefore(lane, turn, lane.tenant < own.tenant, step));
    }
    return ahead + 1;
  }

  /** The next job: the one that was passed, or the first of the tenant with the least virtual time. */
  #head(): Waiting | undefined {
    if (this.#passed) return this.#passed.waiting;
    const lane = this.#least();
    return lane?.first(lane.nextKind());
  }

  #least(): Lane | undefined {
    const [a, b] = [this.#heaps.requests.peek(), this.#heaps.tokens.peek()];
    return a && b ? (comesFirst(a, b) ? a : b) : (a ?? b);
  }

  /** Lets a job of this kind ahead of the head, if that is fair and the head bears it. */
  #letAhead(kind: Kind, head: Waiting, gate: Gate): Waiting | null {
    const heap = this.#heaps[kind];
    const skipped: Lane[] = [];
    let chosen: Waiting | null = null;
    for (let lane = heap.peek(); lane && !chosen && skipped.length < LANES_TRIED; lane = heap.peek()) {
      const candidate = lane.first(kind)!;
      const delayedMs = (this.#passed?.delayedMs ?? 0) + gate.delayMs(candidate, kind === "requests" ? "tokens" : "requests");
      if (delayedMs > gate.costMs(head)) break;
      if (!this.#isFair(lane, candidate, head, gate)) {
        heap.remove(lane);
        skipped.push(lane);
        continue;
      }
      const answer = gate.starts(candidate);
      if (answer === "lane") {
        skipped.push(this.#setAside(lane.tenant));
        continue;
      }
      if (answer !== "start") break;
      chosen = candidate;
      this.#passed = { waiting: head, delayedMs };
      this.#take(candidate, gate);
    }
    for (const lane of skipped) this.#rank(lane);
    return chosen;
  }

  /** Whether the lane, were it let ahead, would lead no other by more than a largest job, the head's start counted. */
  #isFair(lane: Lane, candidate: Waiting, head: Waiting, gate: Gate): boolean {
    const own = this.lanes.get(head.tenant)!;
    const step = gate.costMs(candidate) / lane.weight;
    const headStep = gate.costMs(head) / own.weight;
    const after = lane.virtual + step + (lane === own ? headStep : 0);
    return after - this.#leastBut(lane) <= Math.max(step, headStep);
  }

  /** The least virtual time of all lanes but one. */
  #leastBut(lane: Lane): number {
    let least = Number.POSITIVE_INFINITY;
    for (const kind of KINDS) {
      const heap = this.#heaps[kind];
      const other = heap.peek() === lane ? heap.second() : heap.peek();
      if (other) least = Math.min(least, other.virtual);
    }
    return least;
  }

  #take(waiting: Waiting, gate: Gate): void {
    const lane = this.lanes.get(waiting.tenant)!;
    // One that stayed would start again and again.
    if (!lane.remove(waiting)) throw new Error(`${waiting.job} was let go and does not wait`);
    this.#size--;
    lane.virtual += gate.costMs(waiting) / lane.weight - lane.credit;
    lane.credit = 0;
    this.#rank(lane);
  }

  #lane(tenant: string): Lane {
    let lane = this.lanes.get(tenant);
    if (!lane) {
      lane = new Lane(tenant, this.#weightOf(tenant));
      this.lanes.set(tenant, lane);
    }
    return lane;
  }

  /** Puts a lane where it belongs in the heaps, or out of them. */
  #rank(lane: Lane): void {
    for (const kind of KINDS) {
      if (lane.first(kind)) this.#heaps[kind].place(lane);
      else this.#heaps[kind].remove(lane);
    }
  }

  /** A tenant at its own cap is like one that is idle: it is not the pool that it waits for, so nothing is owed to it later. */
  #setAside(tenant: string): Lane {
    const lane = this.lanes.get(tenant)!;
    for (const kind of KINDS) this.#heaps[kind].remove(lane);
    lane.virtual = Math.max(lane.virtual, this.#virtual);
    return lane;
  }
}

function openHeap(kind: Kind): RankedHeap<Lane> {
  return new RankedHeap<Lane>(
    comesFirst,
    (lane) => lane.slots[kind],
    (lane, place) => {
      lane.slots[kind] = place;
    },
  );
}

function comesFirst(a: Lane, b: Lane): boolean {
  return a.virtual < b.virtual || (a.virtual === b.virtual && a.tenant < b.tenant);
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
