/**
 * The jobs of one flow in one pool. Law: they start in the order of `Queue`. The jobs of each kind also stand in a line of their own,
 * so that one kind can go ahead while the other's resource is used up. A job keeps the kind that it came in with, although limits change while it waits.
 *
 * Jobs far from their start may rest in runs, out of memory: a lane then knows only how many jobs a run has and where the first ones stand. Whoever puts a run
 * to rest wakes it when `due` says so.
 */
import { flowOf, isBatches } from "./flow.ts";
import { before, began, type Gaps, startedOne, UNSEEN } from "./gaps.ts";
import { type Inflow, STILL } from "./inflow.ts";
import { type Place, precedes, Queue, type Waiting } from "./queue.ts";
import { type Use, unseen } from "./use.ts";

/** A job's dominant resource, of which it takes the greater share. */
export type Kind = "requests" | "tokens";
export const KINDS: readonly Kind[] = ["requests", "tokens"];

/** Jobs of one flow and pool that rest together. */
export type Run = {
  readonly size: number;
  /** Places of the first job, of the last, and of the first of each kind (null if there is none). */
  readonly first: Place;
  readonly last: Place;
  readonly firstOf: Readonly<Record<Kind, Place | null>>;
  /** How many of its jobs are of a kind, and how many of these start before a place between its first and its last. */
  sizeOf: (kind: Kind) => number;
  before: (place: Place, kind: Kind) => number;
};

export class Lane {
  readonly flow: string;
  readonly weight: number;
  /**
   * Whether it lets others go first, as batches do. It then pays for its first job before that starts: otherwise a thousand new ones would go ahead with one
   * job each.
   */
  readonly yields: boolean;
  /** The flow that may wait for this one: for a tenant's live work, its batches. */
  readonly follower: string | null;
  /** Whether it has yet to pay for its first job. */
  owes: boolean;
  /** Whether its tenant's own cap holds it back: it is not asked for its next job until something may have changed. */
  isCapped = false;
  /** Service so far, in ms of the pool's rate divided by weight. */
  virtual = 0;
  /** Service to be given back at the next start. */
  credit = 0;
  /** The part of its service that calls took beyond their charge, if they started while another flow waited. A moment without that flow does not forgive it. */
  debt = 0;
  /** How much its calls use of what they reserve. */
  readonly use: Use = unseen();
  /** Calls under way: those started since a restart, and those from before it. */
  running = 0;
  earlier = 0;
  /** Whether the charge of its last start stands even if the call uses less. */
  keeps = false;
  /** Whether another flow competed with it when it last started. */
  competed = false;
  /** Whether it is among the lanes that are asked for their next job. */
  asks = false;
  /** The lane's place in the heap of each kind; -1 if it is not in it. */
  readonly slots: Record<Kind, number> = { requests: -1, tokens: -1 };
  /** How fast jobs come to it. */
  inflow: Inflow = STILL;
  /** Jobs that it started, and how many of them per job of each kind. */
  #starts = 0;
  readonly #gaps: Record<Kind, Gaps> = { requests: UNSEEN, tokens: UNSEEN };
  readonly #lines: Record<Kind, Queue> = { requests: new Queue(), tokens: new Queue() };
  /** Runs with jobs of each kind, in the order of the first of these. A run with both kinds is in both lists. */
  readonly #runs: Record<Kind, Run[]> = { requests: [], tokens: [] };
  readonly #restingOf: Record<Kind, number> = { requests: 0, tokens: 0 };
  #resting = 0;
  /** No resting job stands behind this place; null while none rests. */
  #last: Place | null = null;

  constructor(flow: string, weight: number) {
    this.flow = flow;
    this.weight = weight;
    this.yields = isBatches(flow);
    this.follower = this.yields ? null : flowOf(flow, true);
    this.owes = this.yields;
  }

  /** Includes jobs that rest. */
  get size(): number {
    return this.awake + this.#resting;
  }

  get awake(): number {
    return this.#lines.requests.size + this.#lines.tokens.size;
  }

  first(kind: Kind): Waiting | undefined {
    return this.#lines[kind].first();
  }

  second(kind: Kind): Waiting | undefined {
    return this.#lines[kind].second();
  }

  /** The kind of the job that is next. */
  nextKind(): Kind {
    const requests = this.#lines.requests.first();
    const tokens = this.#lines.tokens.first();
    return tokens && (!requests || precedes(tokens, requests)) ? "tokens" : "requests";
  }

  add(waiting: Waiting, kind: Kind): void {
    this.#lines[kind].add(waiting);
  }

  /** Returns whether it was there, awake. */
  remove(waiting: Waiting): boolean {
    return this.#lines.requests.remove(waiting) || this.#lines.tokens.remove(waiting);
  }

  /** A job of the kind waits now, where none did. */
  begin(kind: Kind): void {
    this.#gaps[kind] = began(this.#gaps[kind], this.#starts);
  }

  /** The job starts, and no longer waits. Returns whether it was there, awake. */
  start(waiting: Waiting): boolean {
    // Nearly always it is the first of its kind.
    const kind = KINDS.find((each) => this.#lines[each].first() === waiting) ?? KINDS.find((each) => this.#lines[each].has(waiting));
    if (!kind) return false;
    const length = this.sizeOf(kind);
    this.#lines[kind].remove(waiting);
    this.#starts++;
    this.#gaps[kind] = startedOne(this.#gaps[kind], this.#starts, length);
    return true;
  }

  /** How many jobs of a kind wait, including those that rest. */
  sizeOf(kind: Kind): number {
    return this.#lines[kind].size + this.#restingOf[kind];
  }

  /** How many of the lane's jobs will start before one of a kind at this place, judging by how that kind went lately. */
  before(place: Place, kind: Kind): number {
    return before(this.#gaps[kind], this.#starts, this.#rankOf(place, kind)) ?? this.rank(place);
  }

  /** How many of the lane's jobs stand before this place. */
  rank(place: Place): number {
    return this.#rankOf(place, "requests") + this.#rankOf(place, "tokens");
  }

  #rankOf(place: Place, kind: Kind): number {
    const awake = this.#lines[kind].rank(place);
    if (!this.#last) return awake;
    // Most places asked for are those of jobs that have just come in, behind all others.
    if (precedes(this.#last, place)) return awake + this.#restingOf[kind];
    let resting = 0;
    for (const run of this.#runs[kind]) {
      if (precedes(run.last, place)) resting += run.sizeOf(kind);
      else if (precedes(run.first, place)) resting += run.before(place, kind);
    }
    return awake + resting;
  }

  /** Jobs awake behind the first `keep` of their kind, the farthest of each kind first. */
  *far(keep: number): Iterable<Waiting> {
    for (const kind of KINDS) yield* this.#lines[kind].fromBack(keep);
  }

  /** These jobs rest as a run from now on. `jobs`: in order; empty if they were never awake here. */
  rest(jobs: readonly Waiting[], run: Run): void {
    for (const kind of KINDS) this.#lines[kind].removeAll(jobs);
    this.#resting += run.size;
    for (const kind of KINDS) this.#restingOf[kind] += run.sizeOf(kind);
    if (!this.#last || precedes(this.#last, run.last)) this.#last = run.last;
    for (const kind of KINDS) if (run.firstOf[kind]) this.#runs[kind].splice(this.#placeOf(run, kind), 0, run);
  }

  /** The run no longer rests here. Jobs of it that wake here are added one by one. */
  wake(run: Run): void {
    this.#resting -= run.size;
    for (const kind of KINDS) this.#restingOf[kind] -= run.sizeOf(kind);
    if (this.#resting === 0) this.#last = null;
    for (const kind of KINDS) if (run.firstOf[kind]) this.#runs[kind].splice(this.#placeOf(run, kind), 1);
  }

  /** A run that must wake before the lane is asked for its next job, because it holds that job. */
  due(): Run | null {
    const awake = this.first(this.nextKind());
    return this.#firstRun((run) => !awake || precedes(run.first, awake));
  }

  /** A run that should wake as well, because it holds the next job of a kind, by the kinds at the time it went to rest. */
  lacking(): Run | null {
    return this.#firstRun((run, kind) => {
      const awake = this.first(kind);
      return !awake || precedes(run.firstOf[kind]!, awake);
    });
  }

  #firstRun(test: (run: Run, kind: Kind) => boolean): Run | null {
    for (const kind of KINDS) {
      const [run] = this.#runs[kind];
      if (run && test(run, kind)) return run;
    }
    return null;
  }

  #placeOf(run: Run, kind: Kind): number {
    const runs = this.#runs[kind];
    let low = 0;
    let high = runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (precedes(runs[middle]!.firstOf[kind]!, run.firstOf[kind]!)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
