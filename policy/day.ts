/**
 * A pool's limit of a day and what is left of it, as answers report them. Headers of one name report one limit, the day's or the minute's. If they report the
 * minute's and no longer the day's, the day's is as configured again. Law: an answer only lowers what we believe is left, with two exceptions: the answer to a
 * call that asks (`ASK`), and tokens that came back, if the operator wants them spent again. An operator's reset gives back what answers took, never what our
 * calls took.
 */
import { type Budget, burstOf, correct, type Limits, retune, used } from "./budget.ts";
import { Followed } from "./followed.ts";

export type DayResource = "rpd" | "tpd";
/**
 * `limit`: null means as configured. `taken`: what answers took of it, as of `at` (ms). `asks`: how many calls started with nothing left, and when the next
 * may, ms; missing in records of older versions.
 */
export type DayRecord = { limit: number | null; taken: number; at: number; asks?: { times: number; nextAt: number } };

const DAY_MS = 86_400_000;
/**
 * A day's limit that answers have not reported for this long, while they reported the minute's, no longer holds. A limit that is used up must not hold back a
 * pool for long after upstream has dropped it. ms.
 */
const TOLD_MS = 600_000;
/** Less than this is rounding. */
const HAIR = 1e-6;
/** What was taken is stored again once it has changed by this part of the limit. */
const NOTABLE = 1 / 50;
/**
 * With nothing left, a call still starts now and then, to ask whether there is more: `firstMs` after the last one, then twice as long after each, `mostMs` at
 * most. At first as often as for a pool in doubt (credit.ts), in the end as rarely as for a halted one (stop.ts).
 */
const ASK = { firstMs: 20_000, mostMs: 600_000 };
/** Stands in for the name of the header that reported the limit before a restart. */
const BEFORE = "";

export class Day {
  readonly #resource: DayResource;
  readonly #limits: Limits;
  readonly #followed: Followed;
  /** By header name; `at`: when upstream computed it, ms. */
  readonly #told = new Map<string, { limit: number; at: number }>();
  #taken = { amount: 0, at: 0 };
  #written = { amount: 0, asks: 0 };
  #asks = { times: 0, nextAt: Number.NEGATIVE_INFINITY };
  /** The last call that asks, until an answer shows what it found: when it started (ms), and whether it went beyond what was left. */
  #asking: { since: number; beyond: boolean } | null = null;

  /** `most`: how far a raised limit is followed; null means no bound. */
  constructor(resource: DayResource, limits: Limits, most: number | null) {
    this.#resource = resource;
    this.#limits = limits;
    this.#followed = new Followed(this.#configured, most ?? Number.POSITIVE_INFINITY);
  }

  get limit(): number | null {
    const { limit } = this.#followed;
    return Number.isFinite(limit) ? limit : null;
  }

  get resource(): DayResource {
    return this.#resource;
  }

  /** Whether the limit comes from upstream and not from the operator: then a call may find out whether it still holds. */
  get isLearned(): boolean {
    return this.#followed.limit !== this.#configured;
  }

  /** With nothing left, no call starts before this, ms. */
  get askAt(): number {
    return this.#asks.nextAt;
  }

  /** A call that takes `amount` of it has just started. If nothing is left after it, it asks: its answer shows whether there is more. */
  started(budget: Budget, amount: number, now: number): void {
    if (!this.isLearned) return;
    const burst = burstOf(budget, this.#resource);
    const left = burst - used(budget, this.#resource, now);
    const beyond = left + amount < Math.min(amount, burst) - HAIR;
    const times = left >= 1 ? 0 : this.#asks.times + (beyond ? 1 : 0);
    this.#asks = { times, nextAt: now + Math.min(ASK.mostMs, ASK.firstMs * 2 ** Math.min(30, times)) };
    this.#asking = left >= 1 ? null : { since: now, beyond };
  }

  /** Whether a call sent at `sentAt` (ms) is the one that asks, or a later one. `beyond`: only if the one that asks went beyond what was left. */
  isAsking(sentAt: number, beyond = false): boolean {
    return this.#asking !== null && sentAt >= this.#asking.since && (!beyond || this.#asking.beyond);
  }

  /** An answer has shown what the call that asks found. */
  heardOf(): void {
    this.#asking = null;
  }

  /** The limit no longer holds: it is as configured again. */
  gone(budget: Budget): void {
    [this.#asking, this.#asks] = [null, { times: 0, nextAt: Number.NEGATIVE_INFINITY }];
    this.#told.clear();
    this.#followed.restore(this.#configured);
    this.#retune(budget);
  }

  /** The limit last reported under a header name, or else the configured one. */
  expected(name: string): number | null {
    return this.#told.get(name)?.limit ?? this.#limits[this.#resource];
  }

  /** False if a later answer was heard before. */
  hear(name: string, limit: number, at: number): boolean {
    if (at < (this.#told.get(name)?.at ?? Number.NEGATIVE_INFINITY)) return false;
    this.#told.delete(BEFORE);
    this.#told.set(name, { limit, at });
    return true;
  }

  /** An answer of `at` reported the day's limit, or the minute's instead. True if the limit has changed. */
  follow(budget: Budget, at: number, now: number): boolean {
    const told = Math.min(...[...this.#told.values()].flatMap((each) => (each.at > at - TOLD_MS ? each.limit : [])));
    if (!this.#followed.follow(told < Number.POSITIVE_INFINITY ? told : this.#configured, now)) return false;
    this.#asks = { ...this.#asks, nextAt: Math.max(this.#asks.nextAt, now + ASK.firstMs) };
    this.#retune(budget);
    return true;
  }

  /** `remaining` was left at `at`; `ours` is what we started since. A day refills so slowly that what others do meanwhile does not matter. */
  bring(budget: Budget, remaining: number, ours: number, at: number, now: number): void {
    const { limit } = this.#followed;
    const refilled = (limit / DAY_MS) * Math.max(0, now - at);
    const missing = burstOf(budget, this.#resource) - used(budget, this.#resource, now) + ours - refilled - remaining;
    if (!Number.isFinite(limit) || missing <= 0) return;
    const taken = correct(budget, this.#resource, missing, now);
    this.#taken = { amount: this.#takenAt(now) + taken, at: now };
  }

  /** Upstream counted `counted` of what had certainly arrived; `later` was started since. `part` of what it does not count may be spent again. */
  takeBack(budget: Budget, counted: number, later: number, part: number, now: number): void {
    const back = (used(budget, this.#resource, now) - later - counted) * part;
    if (back <= 0) return;
    const given = -correct(budget, this.#resource, -back, now);
    if (burstOf(budget, this.#resource) - used(budget, this.#resource, now) >= 1) this.#asks = { ...this.#asks, times: 0 };
    // If what came back was ours, an operator's reset would otherwise give it back again.
    this.#taken = { amount: Math.max(0, this.#takenAt(now) - given), at: now };
  }

  get isTold(): boolean {
    return this.#told.size > 0;
  }

  /** Whether more was taken or came back since the last record than may be forgotten. */
  get isNotable(): boolean {
    const { amount, asks } = this.#written;
    return asks !== this.#asks.times || Math.abs(this.#taken.amount - amount) > this.#followed.limit * NOTABLE;
  }

  /** An operator knows better: until answers say otherwise, the limit is as configured, and what answers took of it is free again. */
  reset(budget: Budget, now: number): void {
    correct(budget, this.#resource, -this.#takenAt(now), now);
    this.#taken = { amount: 0, at: now };
    this.gone(budget);
  }

  record(): DayRecord {
    this.#written = { amount: this.#taken.amount, asks: this.#asks.times };
    const { limit } = this.#followed;
    const asks = this.#asks.times > 0 ? { asks: this.#asks } : {};
    return { limit: limit === this.#configured ? null : limit, taken: this.#taken.amount, at: this.#taken.at, ...asks };
  }

  /** After a wake: goes on with what was learned. A reported limit counts as reported just now. */
  restore({ asks, limit, taken, at }: DayRecord, budget: Budget, now: number): void {
    this.#taken = { amount: taken, at };
    this.#written = { amount: taken, asks: asks?.times ?? 0 };
    if (limit === null) return;
    if (asks) this.#asks = asks;
    this.#told.set(BEFORE, { limit, at: now });
    this.#followed.restore(limit);
    this.#retune(budget);
  }

  get #configured(): number {
    return this.#limits[this.#resource] ?? Number.POSITIVE_INFINITY;
  }

  /** What of it has not refilled. All refill since then is counted against it. */
  #takenAt(now: number): number {
    const { amount, at } = this.#taken;
    if (this.limit === null) return 0;
    return Math.max(0, amount - (this.#followed.limit / DAY_MS) * Math.max(0, now - at));
  }

  #retune(budget: Budget): void {
    retune(budget, this.#resource, { ...this.#limits, [this.#resource]: this.limit });
  }
}
