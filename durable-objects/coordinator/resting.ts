/**
 * Tickets far from their start rest: their segment is in storage, and memory holds only a summary of it. So the object holds what it needs to choose the
 * next job, however many wait. Law: a resting ticket keeps its place in the order and is counted everywhere; its segment wakes before one of its tickets
 * could be next, when a deadline among them comes, and when somebody asks for one of them by name.
 *
 * Tickets that came one by one are joined into a segment as they go to rest. Tickets that are watched, delayed or were called before stay awake.
 */
import { numberOf, spotOf } from "../../platform/ids.ts";
import { dominantKind } from "../../policy/budget.ts";
import { RankedHeap } from "../../policy/heap.ts";
import type { Kind, Lane, Run } from "../../policy/lane.ts";
import { type Place, precedes } from "../../policy/queue.ts";
import type { Book, Entry, Pool } from "./book.ts";
import { MOST, type Segment } from "./segments.ts";
import type { CoordinatorStore, StoredSegment, Summary } from "./store/store.ts";
import { requestsOf, summaryOf } from "./summary.ts";
import { entryOf, flowOfMailbox, lined, waitingOf } from "./waiting.ts";

/** Most waiting tickets in memory; each takes several hundred bytes of 128 MB in all. */
const AWAKE_MOST = 20_000;
/** When there are more, enough go to rest to bring them down to this part of it. */
const AWAKE_AFTER = 3 / 4;
/** The first of each lane and kind stay awake: at most `most`, and fewer with many lanes, down to `least`. */
const KEEP = { most: 256, least: 8 };
/**
 * If too few may rest, the next try comes once `factor` times as many are awake, or after `turns` turns; later if needed, so that on average no more than
 * `looks` jobs are looked at per turn, at half a microsecond each.
 */
const PATIENCE = { factor: 1.25, turns: 1_024, looks: 4 };
/** Part of `AWAKE_MOST` that may be set aside and awake. */
const ASIDE_PART = 1 / 4;
/** Most segments woken for their deadline in one turn. */
const OVERDUE = 32;

const NO_BANDS: readonly [Place, Place][] = [];
const NO_SIZES: readonly number[] = [];

/** Tens of thousands of segments may rest, so they share texts, and places too. */
export class Rested implements Run {
  readonly segment: number;
  readonly tenant: string;
  readonly flow: string;
  readonly pool: string;
  readonly site: Site;
  readonly size: number;
  readonly tokens: number;
  readonly smallest: number;
  readonly sizes: readonly number[];
  readonly priorities: [number, number][];
  readonly requests: readonly number[];
  readonly bands: readonly [Place, Place][];
  readonly since: number;
  readonly deadline: number | null;
  readonly first: Place;
  readonly last: Place;
  readonly firstOf: Readonly<Record<Kind, Place | null>>;
  readonly least: number;
  readonly most: number;
  /** Its place among the deadlines; -1 if it has none. */
  slot = -1;
  /** Whether it is set aside (aside.ts), out of the order. */
  isAside = false;
  shelved = -1;

  constructor(segment: number, { flow, tenant }: Owner, pool: string, site: Site, summary: Summary) {
    this.segment = segment;
    this.tenant = tenant;
    this.flow = flow;
    this.pool = pool;
    this.site = site;
    ({ size: this.size, tokens: this.tokens, priorities: this.priorities, since: this.since } = summary);
    this.smallest = summary.smallest ?? 0;
    this.sizes = summary.sizes ?? NO_SIZES;
    this.bands = summary.bands ?? NO_BANDS;
    this.requests = requestsOf(summary);
    ({ deadline: this.deadline, first: this.first, last: this.last } = summary);
    [this.least, this.most] = summary.numbers;
    const shared = (place: Place | null) => (place && !precedes(this.first, place) ? this.first : place);
    this.firstOf = { requests: shared(summary.firstOf.requests), tokens: shared(summary.firstOf.tokens) };
  }

  sizeOf(kind: Kind): number {
    const requests = this.requests.reduce((sum, each) => sum + each, 0);
    return kind === "requests" ? requests : this.size - requests;
  }

  /** A place mostly falls between the jobs of two priorities; only for one among jobs of the same priority is the segment read. */
  before(place: Place, kind: Kind): number {
    let before = 0;
    for (const [index, [first, last]] of this.bands.entries()) {
      const requests = this.requests[index]!;
      if (precedes(last, place)) before += kind === "requests" ? requests : this.priorities[index]![1] - requests;
      else if (precedes(first, place)) return this.site.before(this, place, kind);
    }
    return this.bands.length > 0 ? before : this.site.before(this, place, kind);
  }
}

/** Whom resting jobs belong to. */
type Owner = { tenant: string; flow: string };

/** What rests of one mailbox, and a number that none of its resting jobs exceeds. `before`: how many jobs of a kind in a run stand before a place within it. */
type Site = {
  readonly name: string;
  readonly runs: Set<Rested>;
  most: number;
  readonly before: (run: Rested, place: Place, kind: Kind) => number;
};

/** Where the owner does not matter. */
const NOBODY: Owner = { tenant: "", flow: "" };

export class Resting {
  /** How many tickets may be awake before some go to rest. */
  awakeMost = AWAKE_MOST;
  readonly #book: Book;
  readonly #all = new Set<Rested>();
  readonly #sites = new Map<string, Site>();
  /** No resting job has a greater number. */
  #most = 0;
  readonly #deadlines = new RankedHeap<Rested>(
    ({ deadline }) => deadline!,
    ({ slot }) => slot,
    (run, place) => {
      run.slot = place;
    },
  );
  #store: CoordinatorStore | null = null;
  /** While no more than `above` are awake, nothing is looked for, for this many turns. */
  #patience = { above: 0, turns: 0 };
  #asidePatience = 0;

  constructor(book: Book) {
    this.#book = book;
  }

  /** At wake of the object, before anything else is in line. Segments whose pool is gone wake at once. */
  open(store: CoordinatorStore, now: number): void {
    this.#store = store;
    const { addresses, pools, segments } = this.#book;
    for (const { mailbox, segment, summary } of store.resting()) {
      segments.noteId(segment);
      const pool = pools.get(summary.pool);
      if (!pool) {
        this.#book.insertSegment(store.segment(segment), true, now);
        continue;
      }
      const address = addresses.of(mailbox);
      const run = this.#add(segment, { tenant: address.tenant, flow: flowOfMailbox(address) }, pool.id, summary);
      if (this.#book.aside.wants(pool, run.smallest)) this.#book.aside.putRun(pool, run, now);
      else this.#lineUp(pool, run);
      this.#book.tenant(run.tenant).queued += run.size;
      this.#book.nextArrival = Math.max(this.#book.nextArrival, summary.arrival + 1);
    }
  }

  /** All that rests. */
  get runs(): Iterable<Rested> {
    return this.#all;
  }

  /** The next deadline of what rests, ms; Infinity if there is none. */
  get deadlineAt(): number {
    return this.#deadlines.peek()?.deadline ?? Number.POSITIVE_INFINITY;
  }

  /** Wakes the segment of this job, if it rests; returns whether it did. */
  find(job: string, now: number): boolean {
    // Most jobs asked for have just come in: their number is beyond all that rest, and this check costs half as much.
    if (this.#all.size === 0 || numberOf(job) > this.#most) return false;
    const spot = spotOf(job);
    const site = spot && this.#sites.get(spot.site);
    if (!spot || !site || spot.number > site.most) return false;
    for (const run of site.runs) {
      if (spot.number < run.least || spot.number > run.most) continue;
      if (!this.#store!.segment(run.segment).tickets.some(({ row }) => row.job === job)) continue;
      this.wake(run, now);
      return true;
    }
    return false;
  }

  /** A job has left this lane: whatever is next now must be awake. */
  refill({ order }: Pool, flow: string, now: number): void {
    const lane = order.lanes.get(flow);
    if (!lane || this.#all.size === 0) return;
    for (let run = lane.due(); run; run = lane.due()) this.#call(run as Rested, now);
    // One at a time: kinds are those of when it went to rest, and limits may have changed since.
    const run = lane.lacking();
    if (run) this.#call(run as Rested, now);
  }

  /** At wake of the object, once everything is in line. */
  refillAll(now: number): void {
    for (const pool of this.#book.pools.values()) for (const flow of pool.order.lanes.keys()) this.refill(pool, flow, now);
  }

  wakeOverdue(now: number): void {
    for (let woken = 0; woken < OVERDUE && this.deadlineAt <= now; woken++) this.wake(this.#deadlines.peek()!, now);
  }

  /** A run that was set aside comes back in line. */
  lineUp(pool: Pool, run: Rested, now: number): void {
    this.#lineUp(pool, run);
    this.refill(pool, run.flow, now);
  }

  #lineUp(pool: Pool, run: Rested): void {
    pool.order.restored(run.flow, run);
    pool.waitingTokens += run.tokens;
  }

  /** A run's turn has come. If all of it is too large, it rests on, set aside. */
  #call(run: Rested, now: number): void {
    const pool = this.#book.pools.get(run.pool)!;
    if (!this.#book.aside.wants(pool, run.smallest)) {
      this.wake(run, now);
      return;
    }
    pool.order.leave(run.flow, run);
    pool.waitingTokens -= run.tokens;
    this.#book.aside.putRun(pool, run, now);
  }

  /** Within a turn's commit, before its tickets are written: if too many are awake, those that may rest do. */
  rest(store: CoordinatorStore): void {
    this.#restAside(store);
    const { awake, pools } = this.#book;
    if (awake <= this.awakeMost) return;
    if (awake <= this.#patience.above && this.#patience.turns-- > 0) return;
    const keep = this.#keep();
    let excess = awake - this.awakeMost * AWAKE_AFTER;
    let looked = 0;
    for (const pool of pools.values()) {
      for (const lane of pool.order.lanes.values()) {
        looked += Math.max(0, lane.awake - keep);
        if (lane.awake > keep) excess -= this.#restLane(store, pool, lane, keep);
        if (excess > 0) continue;
        this.#patience = { above: 0, turns: 0 };
        return;
      }
    }
    // Tickets that came in this turn may rest after the next.
    const turns = this.#book.fresh.size * 2 < excess ? Math.max(PATIENCE.turns, looked / PATIENCE.looks) : 0;
    this.#patience = { above: this.#book.awake * PATIENCE.factor, turns };
  }

  /** Between two turns, when no ticket is to be written: those woken by name rest again, if too many are awake. */
  restAgain(): void {
    const store = this.#store;
    if (store && this.#book.awake > this.awakeMost) store.sql.transaction(() => this.rest(store));
  }

  /** Anything set aside may rest; a few stay awake. */
  #restAside(store: CoordinatorStore): void {
    const { aside, pools } = this.#book;
    if (aside.awake <= Math.max(this.awakeMost * ASIDE_PART, this.#asidePatience)) return;
    for (const pool of pools.values()) {
      const mayRest = (entry: Entry) => aside.has(entry) && this.#mayRest(entry, pool);
      this.#restThese(store, pool, [...aside.entries(pool)], mayRest);
    }
    this.#asidePatience = aside.awake * PATIENCE.factor;
  }

  #keep(): number {
    let lanes = 0;
    for (const { order } of this.#book.pools.values()) for (const { awake } of order.lanes.values()) if (awake > 0) lanes++;
    return Math.max(KEEP.least, Math.min(KEEP.most, Math.floor(this.awakeMost / 2 / lanes)));
  }

  /** Returns how many of the lane went to rest. */
  #restLane(store: CoordinatorStore, pool: Pool, lane: Lane, keep: number): number {
    // Only jobs among these go to rest, so that the front of the lane stays as it is.
    const far = new Set<Entry>();
    for (const waiting of lane.far(keep)) far.add(entryOf(waiting));
    return this.#restThese(store, pool, far, (entry) => far.has(entry) && this.#mayRest(entry, pool));
  }

  #restThese(store: CoordinatorStore, pool: Pool, candidates: Iterable<Entry>, mayRest: (entry: Entry) => boolean): number {
    const seen = new Set<Segment>();
    const single = new Map<number, Entry[]>();
    let rested = 0;
    for (const entry of candidates) {
      // It already went to rest with another of its segment.
      if (!this.#book.entries.has(entry.row.job)) continue;
      if (entry.place) {
        const { segment } = entry.place;
        if (seen.has(segment)) continue;
        seen.add(segment);
        const entries = segment.entries.filter((each) => each !== null);
        const summary = entries.every(mayRest) ? summaryOf(pool, entries) : null;
        if (!summary) continue;
        if (!segment.resting) store.rest(segment.id, segment.mailbox, summary);
        rested += this.#putToRest(pool, segment, entries, summary);
      } else if (mayRest(entry) && spotOf(entry.row.job)) {
        const together = single.get(entry.row.mailbox) ?? [];
        single.set(entry.row.mailbox, together);
        if (together.push(entry) < MOST) continue;
        single.delete(entry.row.mailbox);
        const summary = summaryOf(pool, together)!;
        rested += this.#putToRest(pool, this.#join(store, together, summary), together, summary);
      }
    }
    return rested;
  }

  #mayRest(entry: Entry, pool: Pool): boolean {
    const { dirty, fresh, watching } = this.#book;
    const { attempt, job, phase } = entry.row;
    if (phase !== "waiting" || attempt > 0 || entry.row.pool !== pool.id) return false;
    return !dirty.has(entry) && !fresh.has(entry) && !watching.has(job);
  }

  #join(store: CoordinatorStore, entries: readonly Entry[], summary: Summary): Segment {
    for (const { row } of entries) store.dropTicket(row.job);
    const segment = this.#book.segments.join(store, entries[0]!.row.mailbox, entries);
    store.rest(segment.id, segment.mailbox, summary);
    return segment;
  }

  #putToRest(pool: Pool, segment: Segment, entries: readonly Entry[], summary: Summary): number {
    const { address, flow } = entries[0]!;
    const run = this.#add(segment.id, { tenant: address.tenant, flow }, pool.id, summary);
    const { aside } = this.#book;
    if (aside.has(entries[0]!)) {
      aside.putRun(pool, run, aside.since(pool.id)!);
      for (const entry of entries) aside.leave(entry);
    } else {
      const jobs = entries.map(({ waiting }) => waiting!);
      pool.order.rest(flow, jobs, run);
      this.#book.awake -= entries.length;
    }
    for (const entry of entries) {
      this.#book.deadlines.remove(entry);
      this.#book.entries.delete(entry.row.job);
    }
    return entries.length;
  }

  wake(run: Rested, now: number): void {
    this.#all.delete(run);
    this.#deadlines.remove(run);
    run.site.runs.delete(run);
    if (run.site.runs.size === 0) this.#sites.delete(run.site.name);
    const stored = this.#store!.segment(run.segment);
    const segment = this.#book.segments.restore(stored, true);
    const entries = stored.tickets.map(({ index, row }) => {
      row.pool = run.pool;
      const entry = this.#book.enter(row, now);
      this.#book.segments.put(segment, index, entry);
      return entry;
    });
    if (run.isAside) {
      for (const entry of entries) this.#book.aside.put(entry, now);
      this.#book.aside.leaveRun(run);
      return;
    }
    const jobs = entries.map((entry) => {
      entry.waiting = lined(entry);
      return entry.waiting;
    });
    this.#book.awake += jobs.length;
    this.#book.pools.get(run.pool)!.order.wake(run.flow, jobs, run);
  }

  #add(segment: number, owner: Owner, pool: string, summary: Summary): Rested {
    const site = this.#sites.get(summary.site) ?? this.#openSite(summary.site);
    const run = new Rested(segment, owner, pool, site, summary);
    site.runs.add(run);
    site.most = Math.max(site.most, run.most);
    this.#most = Math.max(this.#most, run.most);
    this.#all.add(run);
    if (run.deadline !== null) this.#deadlines.place(run);
    return run;
  }

  #openSite(name: string): Site {
    // Reads the segment for what its summary cannot answer.
    const before = ({ pool, segment }: Rested, place: Place, kind: Kind) => {
      const { budget } = this.#book.pools.get(pool)!;
      const isBefore = ({ row }: StoredSegment["tickets"][number]) =>
        dominantKind(budget, row.tokens) === kind && precedes(waitingOf(row, NOBODY), place);
      return this.#store!.segment(segment).tickets.filter(isBefore).length;
    };
    const site: Site = { name, runs: new Set(), most: 0, before };
    this.#sites.set(name, site);
    return site;
  }
}
