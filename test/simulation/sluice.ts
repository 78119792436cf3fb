/** Sluice in a simulated world: the coordinator's own code, and mailboxes and dispatchers as actors around it. */
import type { Book } from "../../durable-objects/coordinator/book.ts";
import { answers, enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { late } from "../../durable-objects/coordinator/late.ts";
import { takeLetters } from "../../durable-objects/coordinator/letters.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { confirmStart, heartbeat, heldBy, isConfirmed, lose, reconcile } from "../../durable-objects/coordinator/sweep.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import type { Settings } from "../../platform/settings.ts";
import type { Notice } from "../../platform/telemetry.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type { Held, Lease, Settlement, Verdict, Word } from "../../schemas/rpc.ts";
import { SimDispatcher } from "./dispatcher.ts";
import { type Faults, Lines } from "./lines.ts";
import { CHANNEL, POOL, type SimJob } from "./loads.ts";
import type { Random } from "./random.ts";
import { openStorage } from "./storage.ts";
import type { Client, World } from "./world.ts";

/** The most tickets in one message. */
const TICKETS = 2_000;
/** How long a restart takes. */
const DOWN_MS = 50;
const RESEND_MS = 5_000;

/** A job as its mailbox knows it. */
export type Row = { job: SimJob; attempt: number; ended: "done" | "failed" | null; confirmed: boolean };

export type Options = {
  settings: Settings;
  /** Nothing is stored: for worlds without crashes. */
  volatile?: boolean;
  faults?: Faults;
  /** How long a call that begins now takes until it could leave, ms; by default hardly any time. */
  stallMs?: (now: number, random: Random) => number;
  /** How many tickets may be awake before some rest. Without storage none can rest. */
  awakeMost?: number;
  /** Called after every turn, once it is written. */
  watch?: (book: Book, now: number) => void;
};

export class Sluice implements Client {
  readonly world: World;
  readonly rows = new Map<string, Row>();
  readonly lines: Lines;
  book: Book;
  crashes = 0;
  turns = 0;
  /** What was learned about how much may be spent at once, and when. */
  readonly bursts: ({ at: number } & Notice)[] = [];
  /** Admissions, in order. */
  readonly starts: { at: number; job: SimJob }[] = [];
  readonly #options: Options;
  readonly #openStore: () => CoordinatorStore;
  #store: CoordinatorStore;
  #incarnation = 0;
  #up = true;
  #wakeAt = Number.POSITIVE_INFINITY;
  readonly #dispatchers = new Map<string, SimDispatcher>();
  #arrived: Row[] = [];

  constructor(world: World, options: Options) {
    this.world = world;
    this.#options = options;
    this.lines = new Lines(world, options.faults ?? {});
    const storage = options.volatile ? null : openStorage();
    this.#openStore = () => (storage ? new CoordinatorStore(storage.open()) : forgetful());
    this.#store = this.#openStore();
    this.book = this.#openBook();
  }

  #openBook(): Book {
    const { awakeMost, settings, volatile } = this.#options;
    const book = openBook(settings, this.#store, this.world.time.now);
    if (volatile) book.resting.awakeMost = Number.POSITIVE_INFINITY;
    else if (awakeMost !== undefined) book.resting.awakeMost = awakeMost;
    return book;
  }

  /** Jobs that arrive at the same instant travel together. */
  submit(job: SimJob): void {
    const row: Row = { job, attempt: 0, ended: null, confirmed: false };
    this.rows.set(job.id, row);
    this.#arrived.push(row);
    if (this.#arrived.length > 1) return;
    this.world.time.after(1, () => {
      const rows = this.#arrived;
      this.#arrived = [];
      for (let from = 0; from < rows.length; from += TICKETS) this.#handOver(rows.slice(from, from + TICKETS));
    });
  }

  dispatcher(name: string): SimDispatcher {
    let dispatcher = this.#dispatchers.get(name);
    if (!dispatcher) {
      dispatcher = new SimDispatcher(name, this);
      this.#dispatchers.set(name, dispatcher);
    }
    return dispatcher;
  }

  settle(dispatcher: string, boot: string, settlements: Settlement[], readings: PoolReading[], then: () => void, failed: () => void): void {
    const step = (now: number) => settle(this.book, { dispatcher, boot, settlements, readings }, now, () => this.world.random.next());
    this.lines.call(() => this.#turn(step), then, failed);
  }

  heartbeat(dispatcher: string, boot: string, held: Held[], readings: PoolReading[], then: (stop: Held[]) => void): void {
    const step = (now: number) => heartbeat(this.book, { dispatcher, boot, held, readings }, now, () => this.world.random.next());
    this.lines.call(
      () => this.#turn(step),
      then,
      () => {},
    );
  }

  /** Asks about calls that are ready but late. */
  late(dispatcher: string, held: Held[], then: (words: Word[]) => void, failed: () => void): void {
    const step = (now: number) => late(this.book, dispatcher, held, now, () => this.world.random.next());
    this.lines.call(() => this.#turn(step), then, failed);
  }

  stallMs(): number {
    return this.#options.stallMs?.(this.world.time.now, this.world.random) ?? 0;
  }

  /** Whether the mailbox still wants this attempt. */
  wants(row: Row, attempt: number): boolean {
    if (row.ended || attempt < row.attempt) return false;
    row.attempt = attempt;
    return true;
  }

  commit(row: Row, attempt: number): void {
    if (row.ended || attempt < row.attempt) return;
    row.ended = "done";
    this.world.finish(row.job);
  }

  #handOver(rows: Row[]): void {
    const open = rows.filter((row) => !row.ended && !row.confirmed);
    if (open.length === 0) return;
    const byTenant = Map.groupBy(open, (row) => row.job.tenant);
    for (const [tenant, own] of byTenant) {
      const tickets = own.map(({ job }) => ({
        job: job.id,
        pool: POOL,
        priority: job.priority,
        tokens: job.prompt + job.most,
        acceptedAt: job.at,
        notBefore: null,
        deadline: null,
      }));
      const address = { tenant, channel: CHANNEL };
      const call = () => {
        const problems = this.#turn((now) => enqueue(this.book, address, tickets, now));
        const { now } = this.world.time;
        return answers(this.book, address, tickets, problems, now);
      };
      this.lines.call(
        call,
        (told) => this.#note(own, told),
        () => this.world.time.after(RESEND_MS, () => this.#handOver(own)),
      );
    }
  }

  /** Notes what each job is told with its 202. */
  #note(rows: Row[], told: ReturnType<typeof answers>): void {
    const { now } = this.world.time;
    for (const [index, row] of rows.entries()) {
      row.confirmed = true;
      const said = told[index]!;
      if (said.ok && said.place.eta) row.job.told ??= { at: now, p50: said.place.eta.p50, p95: said.place.eta.p95 };
    }
  }

  /** One turn as `coordinator.ts` makes it; it may die before or after it is written. @throws if the object is down, or dies. */
  #turn<T>(step: (now: number) => T): T {
    if (!this.#up) throw new Error("down");
    const { now } = this.world.time;
    this.turns++;
    const result = decide(this.book, now, () => this.world.random.next(), step);
    if (this.lines.dies()) throw this.#die();
    record(this.book, this.#store, now);
    if (this.lines.dies()) throw this.#die();
    this.#options.watch?.(this.book, now);
    this.#send();
    this.#wake();
    return result;
  }

  #wake(): void {
    const at = this.book.nextWake();
    if (at >= this.#wakeAt || at === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = at;
    const incarnation = this.#incarnation;
    // The runtime's timers count in whole milliseconds.
    this.world.time.at(Math.ceil(Math.max(at, this.world.time.now + 1)), () => {
      if (incarnation !== this.#incarnation || this.#wakeAt !== at) return;
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#attempt(() => this.#turn(() => {}));
    });
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch {
      // Dead: the next incarnation finds what is durable.
    }
  }

  #die(): Error {
    this.crashes++;
    this.#up = false;
    this.#incarnation++;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.world.time.after(DOWN_MS, () => {
      this.#up = true;
      this.#store = this.#openStore();
      this.book = this.#openBook();
      this.#attempt(() => this.#turn(() => {}));
      for (const name of this.book.leased.keys()) this.#ask(name, heldBy(this.book, name));
    });
    return new Error("died");
  }

  #send(): void {
    const { ahead, asks, starts, verdicts } = takeLetters(this.book);
    this.book.conditions.notices.length = 0;
    for (const notice of this.book.limits.notices.splice(0))
      if (notice.event === "burst_learned") this.bursts.push({ at: this.world.time.now, ...notice });
    for (const letters of [ahead, starts]) for (const [name, leases] of letters) this.#start(name, leases);
    for (const sent of verdicts.values()) this.#judge(sent);
    for (const [name, asked] of asks) this.#ask(name, asked);
  }

  /** As in `post.ts`: a start without an answer is not repeated; the dispatcher is asked instead. */
  #start(name: string, leases: Lease[]): void {
    const dispatcher = this.dispatcher(name);
    const rows = leases.map(({ job }) => this.rows.get(job)!);
    for (const { job } of rows) this.starts.push({ at: this.world.time.now, job });
    let asked = false;
    const call = () => {
      if (asked) return dispatcher.report();
      asked = true;
      return { boot: dispatcher.start(leases, rows), held: leases as Held[] };
    };
    const random = () => this.world.random.next();
    this.#answered(
      call,
      ({ boot, held }, now) => confirmStart(this.book, name, boot, held, leases, now, random),
      (now) => {
        for (const { job, attempt } of leases) {
          const entry = this.book.entries.get(job);
          if (entry?.row.phase === "leased" && entry.row.attempt === attempt) lose(this.book, entry, now, random());
        }
      },
      ({ boot, held }, now) => isConfirmed(this.book, name, boot, held, leases, now),
    );
  }

  #ask(name: string, asked: Held[]): void {
    const random = () => this.world.random.next();
    const dispatcher = this.dispatcher(name);
    this.#answered(
      () => dispatcher.report(),
      ({ boot, held }, now) => reconcile(this.book, name, boot, held, asked, now, random),
      () => {},
    );
  }

  #judge(verdicts: Verdict[]): void {
    const hear = () => {
      for (const { job, kind, attempt } of verdicts) {
        const row = this.rows.get(job)!;
        if (kind === "retrying") row.attempt = Math.max(row.attempt, attempt + 1);
        else if (!row.ended) row.ended = "failed";
      }
    };
    this.#answered(
      hear,
      (_, now) => {
        for (const { job, kind } of verdicts) {
          const entry = this.book.entries.get(job);
          if (kind !== "retrying" && entry?.row.phase === "ending") this.book.remove(entry, now);
        }
      },
      () => {},
    );
  }

  /** Calls another object and brings the answer back as a turn, if this incarnation still lives. `noted`: the answer needs no turn. */
  #answered<R>(
    call: () => R,
    then: (answer: R, now: number) => void,
    failed: (now: number) => void,
    noted: (answer: R, now: number) => boolean = () => false,
  ): void {
    const incarnation = this.#incarnation;
    const turn = (step: (now: number) => void) => {
      if (incarnation === this.#incarnation) this.#attempt(() => this.#turn(step));
    };
    this.lines.call(
      call,
      (answer) => {
        if (incarnation === this.#incarnation && this.#up && noted(answer, this.world.time.now)) return;
        turn((now) => then(answer, now));
      },
      () => turn(failed),
    );
  }
}

/** A store that keeps nothing. */
export function forgetful(): CoordinatorStore {
  const nothing = () => {};
  const none = () => [];
  const writes = [
    "addMailbox",
    "putTicket",
    "addSegment",
    "markSegment",
    "dropSegment",
    "dropTicket",
    "putBudget",
    "putAllowance",
    "addDeadLetter",
    "putCondition",
    "putTunings",
    "putDoubts",
    "putLimits",
    "putOutputs",
    "rest",
    "dropResting",
    "dropOutputs",
  ];
  const reads = ["budgets", "allowances", "segments", "tickets", "conditions", "doubts", "limits", "outputs", "resting"];
  const store: Record<string, unknown> = {
    mailbox: () => null,
    mailboxNumber: () => null,
    lastMailbox: () => 0,
    tunings: () => null,
    sql: { transaction: (work: () => void) => work() },
  };
  for (const name of writes) store[name] = nothing;
  for (const name of reads) store[name] = none;
  return store as unknown as CoordinatorStore;
}
