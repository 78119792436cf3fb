/**
 * A pool's limit of a day, and what is left of it, as answers tell. Headers of one name tell one limit, the day's or the minute's: a day's that nobody tells
 * of any more, while they tell the minute's, is as configured again. Law: what upstream says is left is not believed to be more, but for tokens that came back, where
 * the operator wants that; what an operator takes back is what answers took, and never what our calls did.
 */
import { type Budget, burstOf, correct, type Limits, retune, used } from "./budget.ts";
import { Followed } from "./followed.ts";

export type DayResource = "rpd" | "tpd";
/** `limit`: null is as configured. `taken`: what answers took of it, as of `at` (ms). */
export type DayRecord = { limit: number | null; taken: number; at: number };

const DAY_MS = 86_400_000;
/** A limit of which answers told nothing for so long, while they told the minute's, is told no more. One that is used up must not keep a pool for long that upstream has let go. ms. */
const TOLD_MS = 600_000;
/** What was taken is worth a row once it has grown by this part of the limit. */
const NOTABLE = 1 / 50;
/** In place of a header's name: before a restart. */
const BEFORE = "";

export class Day {
  readonly #resource: DayResource;
  readonly #limits: Limits;
  readonly #followed: Followed;
  /** By the headers' name, and when upstream reckoned it, ms. */
  readonly #told = new Map<string, { limit: number; at: number }>();
  #taken = { amount: 0, at: 0 };
  #written = 0;

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
    // Were it ours, and an operator took back what answers took, ours would come back twice.
    this.#taken = { amount: Math.max(0, this.#takenAt(now) - given), at: now };
  }

  get isTold(): boolean {
    return this.#told.size > 0;
  }

  /** Whether more was taken since it was last written, or came back, than may be forgotten. */
  get isNotable(): boolean {
    return Math.abs(this.#taken.amount - this.#written) > this.#followed.limit * NOTABLE;
  }

  /** An operator knows better: the limit is as configured, and what answers took of it is there again, until they tell. */
  reset(budget: Budget, now: number): void {
    correct(budget, this.#resource, -this.#takenAt(now), now);
    this.#taken = { amount: 0, at: now };
    this.#told.clear();
    this.#followed.restore(this.#configured);
    this.#retune(budget);
  }

  record(): DayRecord {
    this.#written = this.#taken.amount;
    const { limit } = this.#followed;
    return { limit: limit === this.#configured ? null : limit, taken: this.#taken.amount, at: this.#taken.at };
  }

  /** After a wake: goes on with what was learned. A limit that was told counts as told just now. */
  restore({ limit, taken, at }: DayRecord, budget: Budget, now: number): void {
    this.#taken = { amount: taken, at };
    this.#written = taken;
    if (limit === null) return;
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
