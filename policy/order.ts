/**
 * Who is next in a pool. Law: among flows with work waiting, service in the scarcer resource divided by weight differs by at most two
 * largest jobs (dominant-resource fair queueing, Ghodsi et al., SIGCOMM 2012); and the next job starts at most its own cost later
 * than if none had been let ahead of it.
 *
 * A flow is a tenant's live work, or its batches (flow.ts). Its virtual time grows by the cost of what it starts; the flow with the least virtual time is next.
 * A flow that returns after idleness begins at the present virtual time: no back pay. Within a flow, `Lane` orders.
 *
 * Packing: while the next job waits for one resource, jobs of the other kind may go ahead, because what they mostly take would be left
 * unspent. In strict order, big jobs before small ones take up to twice the time that their totals need.
 */
import type { Gate } from "./gate.ts";
import { came } from "./inflow.ts";
import { type Kind, Lane, type Run } from "./lane.ts";
import { type Cost, Places } from "./places.ts";
import type { Waiting } from "./queue.ts";
import { giveBack, keptDebt, lift, rejoin } from "./returns.ts";
import { Rivals } from "./rivals.ts";
import { hadOf, type Standing } from "./standing.ts";
import { Turns } from "./turns.ts";
import { isKnown, Uses } from "./use.ts";

/** Lanes searched for a job to let ahead: a decision stays cheap however many tenants there are. */
const LANES_TRIED = 8;

/**
 * A flow with this many calls under way, of unknown use and without a rival, gets nothing back where a start was charged too much: that may be a whole window's
 * work, and charging it cost the flow nothing. Given back later, it would be taken from flows that came meanwhile. With fewer calls a flow does get it back,
 * because one that is alone only for a moment would lose by it.
 */
const MANY = 16;

/** What small jobs take is the mean over about this many that started. */
const SMALL_SEEN = 32;

export class Order {
  readonly lanes = new Map<string, Lane>();
  readonly #turns = new Turns();
  readonly #weightOf: (flow: string) => number;
  readonly #kindOf: (waiting: Waiting) => Kind;
  /** Virtual time of the last start in turn: where a returning flow begins. */
  #virtual = 0;
  #size = 0;
  /** When the first job of all came, ms. */
  #since = Number.POSITIVE_INFINITY;
  #isWaitedFor = false;
  #hasMoved = false;
  readonly #uses = new Uses();
  readonly #rivals = new Rivals();
  readonly #places = new Places(this.lanes, this.#uses);
  /** Tokens that a job takes if it mostly takes requests, roughly. */
  #small = 0;
  /** The job that others were let ahead of, and how long they delayed it. It stays the next until it starts. */
  #passed: { waiting: Waiting; delayedMs: number } | null = null;

  constructor(weightOf: (flow: string) => number, kindOf: (waiting: Waiting) => Kind) {
    this.#weightOf = weightOf;
    this.#kindOf = kindOf;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether the last `next` found a job that waits for the pool, and not only for its tenant's own cap. */
  get isWaitedFor(): boolean {
    return this.#isWaitedFor;
  }

  /** The next job: the one that was passed, or the first of the flow with the least virtual time. */
  get head(): Waiting | undefined {
    if (this.#passed) return this.#passed.waiting;
    const lane = this.#turns.least();
    return lane?.first(lane.nextKind());
  }

  /** A job of the flow has come to the pool, whether it had to wait or not. */
  came(flow: string, now: number): void {
    this.#since = Math.min(this.#since, now);
    const lane = this.#lane(flow);
    lane.inflow = came(lane.inflow, now);
  }

  add(waiting: Waiting): void {
    const lane = this.#lane(waiting.flow);
    if (lane.size === 0) rejoin(lane, this.#virtual);
    const kind = this.#kindOf(waiting);
    lane.add(waiting, kind);
    if (lane.sizeOf(kind) === 1) lane.begin(kind);
    this.#size++;
    this.#rank(lane);
  }

  remove(waiting: Waiting): void {
    const lane = this.lanes.get(waiting.flow);
    if (!lane?.remove(waiting)) return;
    this.#size--;
    if (this.#passed?.waiting === waiting) this.#passed = null;
    this.#changed(lane);
  }

  /** From now on these jobs, given in order, rest as a run. They keep their places, and still count. */
  rest(flow: string, jobs: readonly Waiting[], run: Run): void {
    const lane = this.lanes.get(flow)!;
    for (const each of jobs) if (this.#passed?.waiting === each) this.#passed = null;
    lane.rest(jobs, run);
    this.#rank(lane);
  }

  /** A run that rested elsewhere, or was resting before the object woke, takes its place. */
  restored(flow: string, run: Run): void {
    const lane = this.#lane(flow);
    if (lane.size === 0) rejoin(lane, this.#virtual);
    lane.rest([], run);
    this.#size += run.size;
  }

  /** A run leaves to rest elsewhere. */
  leave(flow: string, run: Run): void {
    const lane = this.lanes.get(flow)!;
    lane.wake(run);
    this.#size -= run.size;
    this.#changed(lane);
  }

  /** The jobs of a run are awake again. */
  wake(flow: string, jobs: readonly Waiting[], run: Run): void {
    const lane = this.lanes.get(flow)!;
    lane.wake(run);
    for (const each of jobs) lane.add(each, this.#kindOf(each));
    this.#rank(lane);
  }

  /** The tenant's own cap may let a flow go again: from now on it is asked for its next job. */
  readmit(flow: string): void {
    const lane = this.lanes.get(flow);
    if (lane?.isCapped) this.#rank(lane);
  }

  /** Takes out the next job that the gate lets go; null if none may go. No run may be due to wake (`Lane.due`). */
  next(gate: Gate): Waiting | null {
    let chosen: Waiting | null = null;
    this.#isWaitedFor = false;
    for (let head = this.head; head && !chosen; head = this.head) {
      const lane = this.lanes.get(head.flow)!;
      if (lane.owes) {
        this.#pay(lane, head, gate);
        continue;
      }
      const idle = gate.idle(head, { large: () => this.#large(head, gate), small: this.#small });
      if (idle && idle !== this.#kindOf(head)) chosen = this.#letAhead(idle, head, gate);
      if (chosen) break;
      const answer = gate.starts(head);
      if (answer === "start") {
        chosen = head;
        this.#advance(lane, gate.now);
        this.#passed = null;
        this.#take(head, gate);
      } else if (answer === "lane") {
        this.#passed = null;
        this.#cap(lane);
      } else if (answer !== "aside") {
        if (answer === "tokens") chosen = this.#letAhead("requests", head, gate);
        this.#isWaitedFor = true;
        break;
      }
    }
    return chosen;
  }

  /** A job that did not stand in line starts: its flow is charged as for any other. */
  charge(waiting: Waiting, gate: Gate): void {
    const lane = this.#lane(waiting.flow);
    if (lane.size === 0) rejoin(lane, this.#virtual);
    this.#charge(lane, this.#chargeMs(lane, waiting, gate) / lane.weight, gate.now);
    this.#rank(lane);
  }

  /** A call of the flow has been under way since before a restart. */
  resumed(flow: string): void {
    this.#lane(flow).earlier++;
  }

  /** For a job that has just started: the tokens that its flow was charged for, whether that is kept even if the call uses less, and whether it had a rival. */
  charged({ flow, tokens }: Waiting): { tokens: number; keeps: boolean; competed: boolean } {
    const { competed, keeps, use } = this.lanes.get(flow)!;
    return { tokens: tokens * this.#uses.partOf(use, tokens), keeps, competed };
  }

  /**
   * A call is over. Gives back virtual time for what it turned out not to use (`unusedMs` of the pool's rate), from the flow's next starts on (`giveBack`).
   * `owes`: what it took beyond its charge counts at once, because another flow competed with it.
   */
  credit(flow: string, unusedMs: number, owes = false): void {
    const lane = this.lanes.get(flow);
    if (!lane) return;
    // Calls from before a restart are taken to end first: most do.
    if (lane.earlier > 0) lane.earlier--;
    else lane.running = Math.max(0, lane.running - 1);
    const back = unusedMs / lane.weight;
    if (owes && back < 0) this.#owe(lane, -back);
    else lane.credit += back;
    this.#hasMoved = true;
  }

  /** A call of the flow used this many tokens of those that it had reserved; all of them, if nobody can tell. */
  used(flow: string, reserved: number, tokens = reserved): void {
    const lane = this.lanes.get(flow);
    if (lane) this.#uses.note(lane.use, reserved, tokens);
  }

  /** Whether any flow's account has changed since `standing` was last asked for. */
  get hasMoved(): boolean {
    return this.#hasMoved;
  }

  /** What to write down, for `recall` after a restart. */
  standing(): Standing {
    this.#hasMoved = false;
    const had = { ...hadOf(this.lanes.values(), this.#virtual), part: this.#uses.part, lasts: this.#rivals.lasts };
    return this.#passed ? { ...had, passed: [this.#passed.waiting.job, this.#passed.delayedMs] } : had;
  }

  /** To be called when all waiting jobs are lined up again, and none has started. `find`: a waiting job by its id; null unless it is awake. */
  recall({ flows, others = 0, part, lasts, passed }: Standing, find: (job: string) => Waiting | null): void {
    for (const lane of others > 0 ? this.lanes.values() : []) {
      if (lane.size === 0) continue;
      lane.virtual = this.#virtual + others;
      this.#rank(lane);
    }
    for (const [flow, lead, credit, owes = false, { debt = 0, use } = {}] of flows) {
      const lane = this.#lane(flow);
      Object.assign(lane, { virtual: this.#virtual + lead, credit, owes, debt });
      if (use) this.#uses.remember(lane.use, use);
      // It was idle then, and has work now.
      if (lane.size > 0) lift(lane, this.#virtual);
      this.#rank(lane);
    }
    if (part !== undefined) this.#uses.recall(part);
    if (lasts) this.#rivals.recall(lasts);
    const waiting = passed && find(passed[0]);
    if (waiting) this.#passed = { waiting, delayedMs: passed[1] };
  }

  /** How many jobs of its own flow start before a job. */
  rank(waiting: Waiting): number {
    return this.lanes.get(waiting.flow)?.rank(waiting) ?? 0;
  }

  /** A job's place in the whole pool, 1 being next. */
  position(waiting: Waiting, cost: Cost, rank = this.rank(waiting)): number {
    return this.#places.position(waiting, cost, rank, this.#virtual);
  }

  /** Tokens of the next two jobs that mostly take tokens, as far as the first jobs of the lanes tell. */
  #large(head: Waiting, gate: Gate): number[] {
    const heap = this.#turns.of.tokens;
    const lane = this.#kindOf(head) === "tokens" ? this.lanes.get(head.flow)! : heap.peek();
    const first = lane?.first("tokens");
    if (!lane || !first) return [];
    const own = lane.second("tokens");
    const other = heap.peek() === lane ? heap.second() : heap.peek();
    const isOwn = own && (!other || lane.virtual + this.#chargeMs(lane, first, gate) / lane.weight <= other.virtual);
    const next = isOwn ? own : other?.first("tokens");
    return next ? [first.tokens, next.tokens] : [first.tokens];
  }

  /** How many jobs of the pool start before a job, and how many of its own flow, going by how kinds went lately. `startMs`: time between starts, ms. */
  before(waiting: Waiting, cost: Cost, startMs: number, now: number): { jobs: number; own: number } {
    const lane = this.lanes.get(waiting.flow);
    if (!lane) return { jobs: 0, own: 0 };
    const own = lane.before(waiting, this.#kindOf(waiting));
    return { jobs: this.#places.before(waiting, cost, own, this.#virtual, { startMs, since: this.#since, now }), own };
  }

  /** Lets a job of this kind go ahead of the head, if that is fair and does not delay the head by more than the head's own cost. */
  #letAhead(kind: Kind, head: Waiting, gate: Gate): Waiting | null {
    const scarce = kind === "requests" ? "tokens" : "requests";
    const own = this.lanes.get(head.flow)!;
    const headStep = this.#chargeMs(own, head, gate) / own.weight;
    const bearsMs = gate.costMs(head);
    const passedMs = this.#passed?.delayedMs ?? 0;
    const skipped: Lane[] = [];
    let walk = this.#turns.of[kind].walk();
    for (let tried = 0; tried < LANES_TRIED; tried++) {
      let lane = walk.next();
      while (lane && skipped.includes(lane)) lane = walk.next();
      if (!lane) break;
      const candidate = lane.first(kind)!;
      if (lane.owes) {
        this.#pay(lane, candidate, gate);
        walk = this.#turns.of[kind].walk();
        continue;
      }
      const delayedMs = passedMs + gate.delayMs(candidate, scarce, head);
      if (delayedMs > bearsMs) break;
      // Over all other lanes that wait: those skipped here wait too, and so does the head's.
      const least = Math.min(virtualOf(this.#turns.leastBut(lane, kind)), virtualOf(this.#turns.leastBut(lane, scarce)));
      const step = this.#chargeMs(lane, candidate, gate) / lane.weight;
      // With the candidate let ahead, its lane may lead no other by more than the larger of these two jobs; if it is the head's own lane, the head's start
      // counts too. Rejected: by more than the largest job that its flow had lately. Four tenants' work beside windows took 3 % less time, but waits were
      // predicted twice as badly, and tenants who use less than they reserve were served less evenly.
      const isFair = lane.virtual + step + (lane === own ? headStep : 0) - least <= Math.max(step, headStep);
      // No job goes ahead of itself: the candidate is the head if that waits for the resource it takes less of, or if changed limits have changed its kind.
      const answer = isFair && candidate !== head ? gate.starts(candidate, true) : "aside";
      if (answer === "lane") {
        this.#cap(lane);
        walk = this.#turns.of[kind].walk();
      } else if (answer === "aside") {
        skipped.push(lane);
      } else {
        if (answer !== "start") break;
        this.#passed = { waiting: head, delayedMs };
        this.#take(candidate, gate);
        return candidate;
      }
    }
    return null;
  }

  #take(waiting: Waiting, gate: Gate): void {
    const lane = this.lanes.get(waiting.flow)!;
    // A job that stayed in line would start again and again.
    if (!lane.start(waiting)) throw new Error(`${waiting.job} was to start but is not waiting`);
    this.#size--;
    if (this.#kindOf(waiting) === "requests") this.#small += (waiting.tokens - this.#small) / (this.#small > 0 ? SMALL_SEEN : 1);
    const step = this.#chargeMs(lane, waiting, gate) / lane.weight;
    const back = giveBack(lane, step, gate.costMs(waiting) / lane.weight);
    this.#charge(lane, step - back, gate.now);
    lane.credit -= back;
    this.#changed(lane);
  }

  /** What a job is charged at its start, ms of the pool's rate. */
  #chargeMs(lane: Lane, waiting: Waiting, gate: Gate): number {
    return gate.costMs(waiting, waiting.tokens * this.#uses.partOf(lane.use, waiting.tokens));
  }

  #charge(lane: Lane, step: number, now: number): void {
    lane.competed = !this.#turns.isAlone(lane);
    lane.keeps = lane.running++ >= MANY && !isKnown(lane.use) && !lane.competed;
    this.#rivals.started(lane, now);
    lane.virtual += step;
    this.#hasMoved = true;
  }

  /** The next job starts: the present virtual time becomes that of its lane, less what the lane owes to a rival that is away. */
  #advance(lane: Lane, now: number): void {
    const keeps = this.#turns.isAlone(lane) && !this.#rivals.areGone(lane, now);
    lane.debt = keeps ? keptDebt(lane, this.#virtual) : 0;
    this.#virtual = Math.max(this.#virtual, lane.virtual - lane.debt);
  }

  #owe(lane: Lane, debt: number): void {
    lane.debt = keptDebt(lane, this.#virtual) + debt;
    lane.virtual += debt;
    if (lane.asks) this.#turns.place(lane);
  }

  /** A job has left: batches that waited for their tenant's live work may go. */
  #changed(lane: Lane): void {
    this.#rank(lane);
    if (lane.follower) this.readmit(lane.follower);
  }

  #lane(flow: string): Lane {
    let lane = this.lanes.get(flow);
    if (!lane) {
      lane = new Lane(flow, this.#weightOf(flow));
      this.lanes.set(flow, lane);
    }
    return lane;
  }

  /** A flow that yields comes in behind those already there, by the cost of its first job. */
  #pay(lane: Lane, first: Waiting, gate: Gate): void {
    lane.virtual += this.#chargeMs(lane, first, gate) / lane.weight;
    lane.owes = false;
    this.#hasMoved = true;
    this.#rank(lane);
  }

  /** Puts a lane where it belongs in the heaps, or takes it out. A capped one counts as idle: it did not wait for the pool, so it is owed nothing. */
  #rank(lane: Lane): void {
    if (lane.isCapped) rejoin(lane, this.#virtual);
    lane.isCapped = false;
    this.#turns.place(lane);
  }

  #cap(lane: Lane): void {
    this.#turns.remove(lane);
    lane.isCapped = true;
  }
}

function virtualOf(lane: Lane | undefined): number {
  return lane ? lane.virtual : Number.POSITIVE_INFINITY;
}
