import { DurableObject } from "cloudflare:workers";
import { Timekeeper } from "../../platform/alarm.ts";
import type { Env } from "../../platform/objects.ts";
import { OUTSIDE, type Outside } from "../../platform/outside.ts";
import { readSettings } from "../../platform/settings.ts";
import { Sql } from "../../platform/sql.ts";
import { pack, unpack } from "../../platform/table.ts";
import type { Refused } from "../../schemas/problem.ts";
import type { DeadLetter, Inspected, Lever, PoolTuned, QueueState, Scope } from "../../schemas/queue.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type {
  CoordinatorRpc,
  Enqueued,
  Held,
  MailboxAddress,
  Place,
  SettleBatch,
  Share,
  Ticket,
  Unlined,
  WatchWish,
  Word,
} from "../../schemas/rpc.ts";
import type { Table } from "../../schemas/table.ts";
import type { Overrides, TenantState, Tune } from "../../schemas/tuning.ts";
import type { Standing } from "../../schemas/why.ts";
import { mostTokens } from "./aside.ts";
import type { Book } from "./book.ts";
import { cancel } from "./cancel.ts";
import { proven } from "./condition/learn.ts";
import { LEVERS } from "./condition/levers.ts";
import { answers, enqueue, share } from "./enqueue.ts";
import { locate } from "./inspect.ts";
import { late } from "./late.ts";
import { read } from "./limits.ts";
import { openBook } from "./opening.ts";
import type { Post } from "./post.ts";
import { Rounds } from "./rounds.ts";
import { settle } from "./settle.ts";
import { CoordinatorStore } from "./store/store.ts";
import { heartbeat } from "./sweep.ts";
import { inspected } from "./too-large.ts";
import { tune } from "./tune.ts";
import { watch } from "./watching.ts";
import { standingOf } from "./why.ts";

/** The single owner of the account's budget. Holds no call open and sees no payload. */
export class Coordinator extends DurableObject<Env> implements CoordinatorRpc {
  readonly #store: CoordinatorStore;
  readonly #book: Book;
  readonly #rounds: Rounds;
  readonly #timekeeper: Timekeeper;
  /** Events received: enqueue, settle, cancel, heartbeat, watch, late. */
  events = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new CoordinatorStore(new Sql(ctx.storage));
    this.#book = openBook(readSettings(env), this.#store, this.now());
    const post: Post = {
      env,
      book: this.#book,
      random: () => this.random(),
      now: () => this.now(),
      outside: this.outside(),
      turn: (step) => this.#rounds.turn(step),
      background: (work) => ctx.waitUntil(work),
      starts: new Set(),
    };
    this.#timekeeper = new Timekeeper(ctx, () => this.#rounds.turn(() => {}));
    this.#rounds = new Rounds({ post, store: this.#store, timekeeper: this.#timekeeper, object: ctx });
    this.#rounds.begin();
  }

  async enqueue(mailbox: MailboxAddress, tickets: Ticket[]): Promise<Enqueued[]> {
    this.events++;
    const problems = this.#rounds.turn((now) => enqueue(this.#book, mailbox, tickets, now));
    return answers(this.#book, mailbox, tickets, problems, this.now());
  }

  async enqueueMany(mailbox: MailboxAddress, tickets: Table<Ticket>): Promise<Table<Enqueued>> {
    return pack(await this.enqueue(mailbox, unpack(tickets)));
  }

  async cancel(jobs: string[]): Promise<void> {
    this.events++;
    this.#rounds.turn((now) => cancel(this.#book, jobs, now));
  }

  async locate(jobs: string[], state?: Unlined): Promise<(Place | null)[]> {
    return this.#rounds.orAbort(() => locate(this.#book, jobs, state, this.now()));
  }

  async watch(wishes: WatchWish[]): Promise<(Place | null)[]> {
    this.events++;
    return watch(this.#book, wishes, this.now());
  }

  async explain(job: string): Promise<Standing | null> {
    return standingOf(this.#book, job, this.now());
  }

  async settle(batch: SettleBatch): Promise<void> {
    this.events++;
    this.#rounds.turn((now) => settle(this.#book, batch, now, () => this.random()));
  }

  async heartbeat(dispatcher: string, boot: string, held: Held[], readings: PoolReading[] = []): Promise<{ stop: Held[] }> {
    this.events++;
    const beat = { dispatcher, boot, held, readings };
    return this.#rounds.turn((now) => ({ stop: heartbeat(this.#book, beat, now, () => this.random()) }));
  }

  async proven(dispatcher: string, job: string, attempt: number, readings: PoolReading[] = []): Promise<void> {
    this.events++;
    this.#rounds.turn((now) => {
      read(this.#book, readings, now);
      proven(this.#book, dispatcher, job, attempt, now);
    });
  }

  async late(dispatcher: string, held: Held[]): Promise<Word[]> {
    this.events++;
    return this.#rounds.turn((now) => late(this.#book, dispatcher, held, now, () => this.random()));
  }

  async inspect(wished?: Overrides["pools"]): Promise<Inspected> {
    return inspected(this.#book, wished, this.now());
  }

  async mostTokens(pool: string): Promise<number> {
    return mostTokens(this.#book, pool);
  }

  async pull(lever: Lever, scope: Scope): Promise<QueueState | Refused> {
    const problem = this.#rounds.turn((now) => LEVERS[lever](this.#book, scope, now));
    return problem ? { ok: false, problem } : this.inspect();
  }

  async tune(wish: Tune): Promise<PoolTuned | TenantState | Refused> {
    return tune(this.#book, this.#rounds, wish, this.now());
  }

  async share(tenant: string, pool: string): Promise<Share | null> {
    return share(this.#book, tenant, pool, this.now());
  }

  async channels(tenant: string, limit: number): Promise<string[]> {
    return this.#store.channels(tenant, limit);
  }

  async deadLetters(before: number | null, limit: number): Promise<DeadLetter[]> {
    return this.#store.deadLetters(before, limit);
  }

  async deadLetterOf(job: string): Promise<DeadLetter | null> {
    return this.#store.deadLetterOf(job);
  }

  async strikeDeadLetter(job: string): Promise<void> {
    this.#store.strikeDeadLetter(job);
  }

  async ping(): Promise<void> {
    this.#store.channels("", 1);
  }

  async look(): Promise<void> {
    this.#rounds.turn(() => {});
  }

  override async alarm(): Promise<void> {
    this.#timekeeper.rang();
    this.#rounds.turn(() => {});
  }

  /** Rows written since the object woke: what the platform bills. */
  rowsWritten(): number {
    return this.#store.sql.rowsWritten;
  }

  /** ms since the epoch. */
  protected now(): number {
    return Date.now();
  }

  /** In [0, 1): the jitter of retries. */
  protected random(): number {
    return Math.random();
  }

  /** How alerts are sent. */
  protected outside(): Outside {
    return OUTSIDE;
  }
}
