/**
 * A pool's limit of a day, and what is left of it, as answers tell. Headers of one name tell one limit, the day's or the minute's: a day's that nobody tells
 * of any more, while they tell the minute's, is as configured again. Law: what upstream says is left is not believed to be more, but for tokens that came back, where
 * the operator wants that; what an operator takes back is what answers took, and never what our calls did.
 */
import { type Budget, burstOf, correct, type Limits, retune, used } from "./budget.ts";
import { Followed } from "./followed.ts";

export type DayResource = "rpd" | "tpd";
/**
 * `limit`: null is as configured. `taken`: what answers took of it, as of `at` (ms). `asks`: how many calls were let go with nothing left, and when the next may
 * be, ms; missing in one of old.
 */
export type DayRecord = { limit: number | null; taken: number; at: number; asks?: { times: number; nextAt: number } };

const DAY_MS = 86_400_000;
/** A limit of which answers told nothing for so long, while they told the minute's, is told no more. One that is used up must not keep a pool for long that upstream has let go. ms. */
const TOLD_MS = 600_000;
/** Less than this is rounding. */
const HAIR = 1e-6;
/** What was taken is worth a row once it has grown by this part of the limit. */
const NOTABLE = 1 / 50;
/** Where nothing is left a call is let go all the same so long after the last one: at first, and at the most; it doubles with each. As often as a pool in doubt is asked, and as rarely as a halted one. ms. */
const ASK = { firstMs: 20_000, mostMs: 600_000 };
/** In place of a header's name: before a restart. */
const BEFORE = "";

export class Day {
  readonly #resource: DayResource;
  readonly #limits: Limits;
  readonly #followed: Followed;
  /** By the headers' name, and when upstream reckoned it, ms. */
  readonly #told = new Map<string, { limit: number; at: number }>();
  #taken = { amount: 0, at: 0 };
  #written = { amount: 0, asks: 0 };
  #asks = { times: 0, nextAt: Number.NEGATIVE_INFINITY };
  /** The last of them, while no answer has told what it found: since when (ms), and whether it was let go beyond what there was. */
  #asking: { since: number; beyond: boolean } | null = null;

  /** `most`: what a raised limit is followed to; null: there is no bound. */
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

  /** It is upstream's word and not the operator's: a call may find out whether it still holds. */
  get isLearned(): boolean {
    return this.#followed.limit !== this.#configured;
  }

  /** No call is let go with nothing left before this, ms. */
  get askAt(): number {
    return this.#asks.nextAt;
  }

  /** A call that takes so much of it was let go just now. With nothing left after it, it is one that asks: its answer tells. */
  started(budget: Budget, amount: number, now: number): void {
    if (!this.isLearned) return;
    const burst = burstOf(budget, this.#resource);
    const left = burst - used(budget, this.#resource, now);
    const beyond = left + amount < Math.min(amount, burst) - HAIR;
    const times = left >= 1 ? 0 : this.#asks.times + (beyond ? 1 : 0);
    this.#asks = { times, nextAt: now + Math.min(ASK.mostMs, ASK.firstMs * 2 ** Math.min(30, times)) };
    this.#asking = left >= 1 ? null : { since: now, beyond };
  }

  /** Whether a call that was sent then, or later, is the one that asks; `beyond`: and there was nothing for it. */
  isAsking(sentAt: number, beyond = false): boolean {
    return this.#asking !== null && sentAt >= this.#asking.since && (!beyond || this.#asking.beyond);
  }

  /** An answer has told what the call that asks found. */
  heardOf(): void {
    this.#asking = null;
  }

  /** It holds no more: as configured. */
  gone(budget: Budget): void {
    [this.#asking, this.#asks] = [null, { times: 0, nextAt: Number.NEGATIVE_INFINITY }];
    this.#told.clear();
    this.#followed.restore(this.#configured);
    this.#retune(budget);
  }

  /** As told last under a name; else as configured. */
  expected(name: string): number | null {
    return this.#told.get(name)?.limit ?? this.#limits[this.#resource];
  }

  /** False: an older answer knows less. */
  hear(name: string, limit: number, at: number): boolean {
    if (at < (this.#told.get(name)?.at ?? Number.NEGATIVE_INFINITY)) return false;
    this.#told.delete(BEFORE);
    this.#told.set(name, { limit, at });
    return true;
  }

  /** An answer of `at` told of the day's limit, or of the minute's in its stead. True if the limit has changed. */
  follow(budget: Budget, at: number, now: number): boolean {
    const told = Math.min(...[...this.#told.values()].flatMap((each) => (each.at > at - TOLD_MS ? each.limit : [])));
    if (!this.#followed.follow(told < Number.POSITIVE_INFINITY ? told : this.#configured, now)) return false;
    this.#asks = { ...this.#asks, nextAt: Math.max(this.#asks.nextAt, now + ASK.firstMs) };
    this.#retune(budget);
    return true;
  }

  /** So much was left at `at`; `ours` is what was let go since. The day refills so slowly that what others do meanwhile is nothing. */
  bring(budget: Budget, remaining: number, ours: number, at: number, now: number): void {
    const { limit } = this.#followed;
    const refilled = (limit / DAY_MS) * Math.max(0, now - at);
    const missing = burstOf(budget, this.#resource) - used(budget, this.#resource, now) + ours - refilled - remaining;
    if (!Number.isFinite(limit) || missing <= 0) return;
    const taken = correct(budget, this.#resource, missing, now);
    this.#taken = { amount: this.#takenAt(now) + taken, at: now };
  }

  /** So much was counted of what had surely arrived; `later`: what was let go since. What is not counted may be spent again, as far as it is believed: `part` of it. */
  takeBack(budget: Budget, counted: number, later: number, part: number, now: number): void {
    const back = (used(budget, this.#resource, now) - later - counted) * part;
    if (back <= 0) return;
    const given = -correct(budget, this.#resource, -back, now);
    if (burstOf(budget, this.#resource) - used(budget, this.#resource, now) >= 1) this.#asks = { ...this.#asks, times: 0 };
    // Were it ours, and an operator took back what answers took, ours would come back twice.
    this.#taken = { amount: Math.max(0, this.#takenAt(now) - given), at: now };
  }

  get isTold(): boolean {
    return this.#told.size > 0;
  }

  /** Whether more was taken since it was last written, or came back, than may be forgotten. */
  get isNotable(): boolean {
    const { amount, asks } = this.#written;
    return asks !== this.#asks.times || Math.abs(this.#taken.amount - amount) > this.#followed.limit * NOTABLE;
  }

  /** An operator knows better: the limit is as configured, and what answers took of it is there again, until they tell. */
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

  /** After a wake: goes on with what was learned. A limit that was told counts as told just now. */
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

  /** What has refilled since is thought to have been of this. */
  #takenAt(now: number): number {
    const { amount, at } = this.#taken;
    if (this.limit === null) return 0;
    return Math.max(0, amount - (this.#followed.limit / DAY_MS) * Math.max(0, now - at));
  }

  #retune(budget: Budget): void {
    retune(budget, this.#resource, { ...this.#limits, [this.#resource]: this.limit });
  }
}
