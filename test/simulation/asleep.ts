/**
 * A coordinator that sleeps whenever the platform may let it, on an account that others use too and whose limits change. Its own steps and its own SQL;
 * upstream is the stub's account, in virtual time.
 */
import { Account } from "../../bench/stub/account.ts";
import { limitHeaders } from "../../bench/stub/answers.ts";
import type { Book } from "../../durable-objects/coordinator/book.ts";
import { enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { noLetters } from "../../durable-objects/coordinator/letters.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { jobId } from "../../platform/ids.ts";
import { readSettings, type Settings } from "../../platform/settings.ts";
import { readRates } from "../../policy/rate-headers.ts";
import type { Lease, Outcome } from "../../schemas/rpc.ts";
import { Random } from "./random.ts";
import { openStorage } from "./storage.ts";
import { Time } from "./time.ts";

const LIMITS = { rpm: 600, tpm: 600_000 };
const WAITING = 150;
/** After this long without an event from elsewhere, the object forgets everything that is not written, including the timers it had in memory. */
const SLEEP_MS = 10_000;
/** As in `platform/alarm.ts`. */
const ALARM = { timerMs: 10_000, watchdogMs: 30_000 };
const CALL_MS = 600;
const TOKENS = 100;
/** The longest time between two calls while jobs waited, and when it ended, ms. */
export type Gap = { ms: number; at: number };

export class Night {
  readonly time = new Time();
  gap: Gap = { ms: 0, at: 0 };
  sleeps = 0;
  calls = 0;
  readonly #random: Random;
  readonly #account = new Account(LIMITS);
  readonly #settings: Settings;
  readonly #storage = openStorage();
  #store: CoordinatorStore;
  #book: Book;
  /** Whether answers report the limits, and whether everything is refused, whatever they report. */
  #tells = true;
  #refuses = false;
  #heardAt = 0;
  #calledAt = 0;
  #timerAt = Number.POSITIVE_INFINITY;
  #alarmAt = Number.POSITIVE_INFINITY;
  #jobs = 0;
  #outstanding = 0;

  /** `pool`: settings in addition to the limits. */
  constructor(seed: number, pool: object) {
    this.#random = new Random(seed);
    // Far from zero, as real clocks are.
    this.time.now = 1_780_000_000_000;
    this.#heardAt = this.#calledAt = this.time.now;
    this.#settings = readSettings({ SLUICE_POOLS: JSON.stringify({ p: { ...LIMITS, ...pool } }) });
    this.#store = new CoordinatorStore(this.#storage.open());
    this.#book = openBook(this.#settings, this.#store, this.time.now);
  }

  /** Passes time in phases: others come and go, limits are cut and restored, headers go and come back, and now and then everything is refused. */
  pass(ms: number): void {
    const until = this.time.now + ms;
    const next = () => {
      if (this.time.now < until) this.time.after(this.#enter(), next);
    };
    next();
    this.#look();
    this.time.run(until);
  }

  #enter(): number {
    const random = this.#random;
    const limit = random.chance(0.6) ? 1 : random.between(0.2, 0.8);
    const others = random.chance(0.5) ? 0 : random.between(0.1, 0.6);
    [this.#tells, this.#refuses] = [random.chance(0.7), random.chance(0.2)];
    const share = (part: number) => ({ rpm: Math.round(LIMITS.rpm * part), tpm: LIMITS.tpm * part });
    this.#account.setLimits(share(limit));
    this.#account.setOthers(others > 0 ? share(others) : null, this.time.now);
    return random.between(15_000, 90_000);
  }

  /** Runs as often as a client looks: hands in a job for each that has ended, and measures how long no call was made. */
  #look(): void {
    const missing = WAITING - this.#outstanding;
    if (missing > 0) this.#event((now) => this.#handIn(missing, now));
    const ms = this.time.now - this.#calledAt;
    if (ms > this.gap.ms) this.gap = { ms, at: this.time.now };
    this.time.after(250, () => this.#look());
  }

  #handIn(count: number, now: number): void {
    this.#outstanding += count;
    const tickets = Array.from({ length: count }, () => ({
      job: jobId("a", { channel: "c", number: ++this.#jobs, nonce: "000000", at: now }),
      ...{ pool: "p", priority: 0, tokens: TOKENS, acceptedAt: now, notBefore: null, deadline: null },
    }));
    enqueue(this.#book, { tenant: "a", channel: "c" }, tickets, now);
  }

  /** Something came from elsewhere, and woke the object if it slept. */
  #event(step: (now: number) => void): void {
    const { now } = this.time;
    if (now - this.#heardAt > SLEEP_MS) {
      this.sleeps++;
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#store = new CoordinatorStore(this.#storage.open());
      this.#book = openBook(this.#settings, this.#store, now);
    }
    this.#heardAt = now;
    this.#turn(step);
  }

  #turn(step: (now: number) => void): void {
    const { now } = this.time;
    decide(this.#book, now, () => this.#random.next(), step);
    record(this.#book, this.#store, now);
    const { ahead, starts } = this.#book.letters;
    this.#book.letters = noLetters();
    for (const { notices } of [this.#book.conditions, this.#book.limits]) notices.length = 0;
    for (const letters of [ahead, starts])
      for (const [dispatcher, leases] of letters)
        for (const lease of leases) this.time.after(this.#delay(), () => this.#call(dispatcher, lease));
    this.#wakeAt(this.#book.nextWake());
  }

  #wakeAt(at: number): void {
    const { now } = this.time;
    if (at === Number.POSITIVE_INFINITY) return;
    const soon = at - now <= ALARM.timerMs;
    if (soon && at < this.#timerAt) {
      this.#timerAt = at;
      this.time.at(Math.max(now + 1, Math.ceil(at)), () => {
        // An object that has slept since has forgotten this timer.
        if (this.#timerAt !== at || this.time.now - this.#heardAt > SLEEP_MS) return;
        this.#timerAt = Number.POSITIVE_INFINITY;
        this.#turn(() => {});
      });
    }
    const alarmAt = soon ? now + ALARM.watchdogMs : Math.ceil(at);
    if (alarmAt >= this.#alarmAt) return;
    this.#alarmAt = alarmAt;
    this.time.at(alarmAt, () => {
      if (this.#alarmAt !== alarmAt) return;
      this.#alarmAt = Number.POSITIVE_INFINITY;
      this.#event(() => {});
    });
  }

  #call(dispatcher: string, lease: Lease): void {
    const { now } = this.time;
    this.#calledAt = now;
    this.calls++;
    const refusal = this.#account.admit(TOKENS, lease.job, now);
    const told: Record<string, string> = this.#tells ? limitHeaders(this.#account.headers(now)) : {};
    const rates = readRates((name) => told[name]);
    // The stub reports whole seconds.
    const retryAfterMs = refusal && this.#tells ? Math.ceil(refusal.waitMs / 1_000) * 1_000 : null;
    const outcome: Outcome = refusal || this.#refuses ? { kind: "rate_limited", retryAfterMs } : { kind: "committed", usage: null };
    this.time.after(outcome.kind === "committed" ? CALL_MS : this.#delay(), () => {
      const readings = rates ? [{ ...rates, pool: "p", job: lease.job, sentAt: now, at: this.time.now }] : [];
      const settlements = [{ job: lease.job, attempt: lease.attempt, outcome, headersMs: null }];
      this.#event((at) => settle(this.#book, { dispatcher, boot: "b", settlements, readings }, at, () => this.#random.next()));
      if (outcome.kind === "committed") this.#outstanding--;
    });
  }

  #delay(): number {
    return this.#random.between(1, 40);
  }
}
