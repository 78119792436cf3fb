/**
 * What upstream's answers teach about a pool: limits that were changed there, and what others spend of them on the same key. Laws: our own calls under way
 * never make us believe that less is left than upstream says; a lowered limit is followed at once, a raised one slowly and within the operator's bounds; of two
 * buckets for the same thing the scarcer one counts; of two limits reported by turns under one name, the pool's own; without headers, all is as configured.
 */
import type { FullReading, LimitReading, PoolReading } from "../schemas/rate.ts";
import {
  type Bounds,
  type Change,
  type Days,
  isFull,
  KINDS,
  type LearnedRecord,
  type LimitChange,
  type Minutes,
  type Name,
} from "./bounds.ts";
import { type Budget, burstOf, correct, keeping, neverFits, type Reservation, type Resource, readyUnless, retune } from "./budget.ts";
import { LearnedBursts, type Seen } from "./bursts.ts";
import { cameBack } from "./came-back.ts";
import { LearnedDays } from "./days.ts";
import { Followed } from "./followed.ts";
import { Foreign } from "./foreign.ts";
import { Lateness } from "./lateness.ts";
import type { Kind } from "./levels.ts";
import { Ours } from "./ours.ts";
import { Debts } from "./owed.ts";
import { OwnLimit } from "./own-limit.ts";
import { periodOf } from "./period.ts";
import { Sharing } from "./sharing.ts";
import { Untold } from "./untold.ts";

/** Part of the pool's transit by which our calls are assumed to come late on average: what upstream counts in that time is still ours. */
const LATE = 1 / 4;
/** A bucket that no answer has reported for this long is no longer ours, ms. */
const TOLD_MS = 60_000;
/** What others spend between two answers is deducted in advance, while answers come. `spareMs` of it stays free as well: others come at random. */
const FORESEEN = { everyMs: 100, silenceMs: 15_000, spareMs: 1_000 };
/** Part of what came back that each answer is believed for; none for `distrustMs` after a refusal, which shows that headers cannot be relied on. */
const REFUND = { part: 1 / 2, distrustMs: 60_000 };

/** A reading of a day's limit; or one of a minute's, with what others spend of its bucket. */
type Heard = { told: LimitReading } | { told: LimitReading; foreign: Foreign };

export class Learned {
  readonly #bounds: Bounds;
  readonly #minutes: Record<Kind, Followed>;
  readonly days: LearnedDays;
  /** What may be owed on the minute's limits since they were lowered. */
  readonly #owed = new Debts();
  readonly bursts: LearnedBursts;
  readonly #foreign: Record<Name, Foreign> = { requests: new Foreign(), tokens: new Foreign(), projectTokens: new Foreign() };
  readonly #own: Record<Name, OwnLimit> = { requests: new OwnLimit(), tokens: new OwnLimit(), projectTokens: new OwnLimit() };
  readonly #ours: Ours;
  #refusedAt = Number.NEGATIVE_INFINITY;
  readonly #sharing = new Sharing();
  readonly #untold = new Untold();
  readonly #late = new Lateness();
  #foreseenAt = Number.NEGATIVE_INFINITY;
  /** The instant of the last reading that led to a correction: older readings know less. */
  #correctedAt = Number.NEGATIVE_INFINITY;

  /** `now`: when the budget was opened, ms. */
  constructor(bounds: Bounds, now: number) {
    this.#bounds = bounds;
    this.#ours = new Ours(now);
    const { limits, most } = bounds;
    this.#minutes = { requests: new Followed(limits.rpm, most.rpm), tokens: new Followed(limits.tpm, most.tpm) };
    this.days = new LearnedDays(bounds);
    this.bursts = new LearnedBursts(limits);
  }

  /** A call of this many tokens has just started. */
  started(budget: Budget, tokens: number, now: number): LimitChange[] {
    this.#foresee(budget, now);
    this.#sharing.keep(budget);
    this.#ours.started(budget, tokens, now);
    const changes: LimitChange[] = [];
    for (const [kind, resource] of KINDS) {
      const amount = kind === "requests" ? 1 : tokens;
      this.days.of(kind).started(budget, amount, now);
      this.#owed.of(kind).started(budget, amount, now);
      // As configured again, but in steps: what was cut may still be cut.
      if (this.#untold.started(kind, now)) changes.push(...this.#follow(kind, resource, this.#bounds.limits[resource], budget, now));
    }
    return changes;
  }

  /** A call started at `startedAt` (ms) was taken. Its headers were heard before. */
  untold(startedAt: number): void {
    for (const [kind, resource] of KINDS)
      if (this.#minutes[kind].limit !== this.#bounds.limits[resource]) this.#untold.answered(kind, startedAt);
  }

  /** Time has passed: a limit that was reported but not believed, and that no answer has denied, is believed now. */
  believe(budget: Budget, now: number): LimitChange[] {
    const changes: LimitChange[] = [];
    for (const [kind, resource, , names] of KINDS) {
      let told = Number.NEGATIVE_INFINITY;
      for (const name of names) told = Math.max(told, this.#undenied(name, now));
      if (told > Number.NEGATIVE_INFINITY) changes.push(...this.#follow(kind, resource, this.#lowest(names, told), budget, now));
    }
    return changes;
  }

  /** Whether there is a limit that may no longer hold, which only a call can show. */
  get isInDoubt(): boolean {
    return this.#owed.isOwed || this.days.isLearned;
  }

  /**
   * When a call of this many tokens may start, ms; `now` or later. It may also start with nothing left of a limit, if only a call can show whether that is so:
   * a day's limit that upstream reported, or one that was lowered.
   */
  readyAt(budget: Budget, tokens: number, now: number): number {
    // A call larger than a limit ever holds would be refused whether or not anything is owed.
    const owed = neverFits(budget, tokens) ? {} : this.#owed.seeAt(budget, tokens);
    return readyUnless(budget, tokens, { ...this.days.asks, ...owed }, now);
  }

  /** Whether it matters, before a call started at `startedAt` (ms) has ended, that upstream takes it. */
  sees(startedAt: number): boolean {
    return this.#owed.sees(startedAt);
  }

  /** A call started at `startedAt` (ms) was taken. */
  taken(startedAt: number, budget: Budget, now: number): void {
    for (const [kind, resource] of KINDS)
      if (this.#owed.of(kind).sees(startedAt))
        this.#ours.corrected(kind, correct(budget, resource, -this.#owed.of(kind).forgive(budget, now), now), budget, now);
  }

  /** A call ended that had used this many tokens more than it had reserved. */
  charged(budget: Budget, tokens: number, now: number): void {
    this.#ours.charged(budget, tokens, now);
  }

  /** A call of this many tokens was refused for the rate. */
  refused(tokens: number, now: number): void {
    this.turnedAway(tokens);
    this.#refusedAt = now;
    this.#sharing.seen(tokens, now);
  }

  /** A call of this many tokens was not taken, for whatever reason. */
  turnedAway(tokens: number): void {
    this.#ours.wasTurnedAway(tokens);
  }

  /**
   * A call that was never made is about to be refunded: it counts as nobody's. Returns what is not to be refunded: what may be back already, because headers
   * showed that upstream does not count it, and what headers will still show to be back, as those of a day's tokens do.
   */
  unmade({ at: since, tokens }: Reservation): Partial<Record<Resource, number>> {
    const tpd = this.#givesBack && this.days.of("tokens").isTold ? tokens : 0;
    // A call from before a restart is in nothing that is known here.
    if (since === undefined) return { tpd };
    const back: Partial<Record<Resource, number>> = { tpd };
    for (const [kind, resource] of KINDS)
      back[resource] = this.#ours.unmade({ at: since, tokens }, kind, this.#refillOf(this.#minutes[kind].limit));
    return back;
  }

  /** Learns from an answer's headers, and changes the budget. `call`: what its call reserved, and when; null if unknown. `refused`: for the rate. */
  take(reading: PoolReading, call: Required<Reservation> | null, budget: Budget, now: number, refused = false): Change[] {
    this.#late.note(reading, call?.at ?? null, now);
    const changes: Change[] = [];
    const seen: Partial<Record<Kind, Seen>> = {};
    this.#foresee(budget, now);
    for (const [kind, resource, , names] of KINDS) {
      const told = names.flatMap((name) => this.#hear(kind, resource, name, reading));
      // Even if nothing more is learned from them, because they report no minute's limit.
      changes.push(...this.#resize(kind, resource, budget, now, false));
      if (told.length > 0) changes.push(...this.#followDay(kind, told, budget, reading, now));
      const heard = told.flatMap((each) => ("foreign" in each ? each : []));
      if (heard.length === 0) continue;
      changes.push(...this.#follow(kind, resource, this.#lowest(names, reading.at), budget, now));
      // Headers do not say what a window drops, and when; nor when tokens came back.
      const backs = kind === "tokens" && this.#bounds.refund;
      const full = heard.flatMap(({ foreign, told }) => (isFull(told) ? [{ foreign, told }] : []));
      const { limit } = this.#minutes[kind];
      const spent = this.#ours.levels.most(kind, reading.sentAt, reading.at, limit / 60_000);
      if (spent !== null && full.length === heard.length) seen[kind] = { told: full.map(({ told }) => told), limit, spent };
      // Before what is left is applied (`#bring`), and only if it can be.
      if (!refused && seen[kind] && reading.at > this.#correctedAt) this.bursts.grow(kind, seen[kind], now);
      changes.push(...this.#resize(kind, resource, budget, now, false));
      for (const { foreign, told } of full) {
        if (!this.#bounds.limits.windowSeconds && !backs) this.#observe(kind, foreign, told, reading.at, call);
        this.#bring(kind, resource, foreign, told, reading, budget, now);
      }
      if (backs) this.#takeBack(full, reading, budget, now);
    }
    this.#correctedAt = Math.max(this.#correctedAt, reading.at);
    if (!refused || !call) return changes;
    this.bursts.refused(seen, call, now);
    return [...changes, ...KINDS.flatMap(([kind, resource]) => this.#resize(kind, resource, budget, now, true))];
  }

  /** What others spend of the pool per minute, judging by the answers of the last minutes. */
  others(now: number): Record<Kind, number> {
    const { requests, tokens, projectTokens } = this.#foreign;
    return { requests: requests.pace(now), tokens: Math.max(tokens.pace(now), projectTokens.pace(now)) };
  }

  /** The limits that are followed now. */
  get limits(): Minutes & Days {
    const { requests, tokens } = this.#minutes;
    return { rpm: requests.limit, tpm: tokens.limit, ...this.days.limits };
  }

  /** An operator knows better: until answers say otherwise, limits and bursts start anew, nobody else spends, and a day's limit lacks only what we spent. */
  reset(budget: Budget, now: number): void {
    this.bursts.reset();
    for (const [kind, resource, , names] of KINDS) {
      this.#rebound(kind, resource, budget, now);
      this.#minutes[kind].restore(this.#bounds.limits[resource]);
      this.#untold.forget(kind);
      this.#retune(kind, resource, budget);
      this.days.of(kind).reset(budget, now);
      this.#owed.of(kind).restore(null);
      for (const name of names) [this.#foreign[name], this.#own[name]] = [new Foreign(), new OwnLimit()];
    }
  }

  /** Whether more was learned than was last stored, although no limit changed. */
  get isNotable(): boolean {
    return this.days.isNotable || this.bursts.isNotable || this.#owed.isNotable || this.#untold.isNotable;
  }

  record(): LearnedRecord {
    const { limits } = this.#bounds;
    const isOwn = (kind: Kind, configured: number) => this.#minutes[kind].limit === configured && !this.#untold.isTold[kind];
    const other = (kind: Kind, configured: number) => (isOwn(kind, configured) ? null : this.#minutes[kind].recorded);
    const minutes = { rpm: other("requests", limits.rpm), tpm: other("tokens", limits.tpm), asked: this.#untold.record() };
    return { ...minutes, ...this.days.record(), ...this.bursts.record(), owed: this.#owed.record() };
  }

  /** After a wake: goes on with what was learned, within the present bounds. Windows remember by themselves what they owe. */
  restore(record: LearnedRecord, budget: Budget, now: number): void {
    this.#untold.restore(record.asked ?? {}, { requests: record.rpm !== null, tokens: record.tpm !== null });
    this.bursts.restore(record.burst);
    for (const [kind, resource, day] of KINDS) {
      this.#minutes[kind].restore(record[resource] ?? this.#minutes[kind].limit);
      this.#retune(kind, resource, budget);
      this.#owed.of(kind).restore(this.#bounds.limits.windowSeconds ? null : (record.owed?.[kind] ?? null));
      if (record[day]) this.days.of(kind).restore(record[day], budget, now);
    }
  }

  #follow(kind: Kind, resource: "rpm" | "tpm", told: number, budget: Budget, now: number): LimitChange[] {
    const followed = this.#minutes[kind];
    const from = followed.limit;
    if (!followed.follow(told, now)) return [];
    this.#retune(kind, resource, budget);
    // A window itself remembers what it still counts.
    if (followed.limit < from && !this.#bounds.limits.windowSeconds) this.#owed.of(kind).lowered(budget, now);
    return [{ resource, from, to: followed.limit }];
  }

  #retune(kind: Kind, resource: "rpm" | "tpm", budget: Budget): void {
    const learned = { [resource]: this.#minutes[kind].limit, burstSeconds: this.bursts.seconds(kind) };
    retune(budget, resource, { ...this.#bounds.limits, ...learned });
  }

  /** `belied`: disproved by a refusal. What was spent then stays spent: upstream has to refill it, however much its bucket holds. */
  #resize(kind: Kind, resource: "rpm" | "tpm", budget: Budget, now: number, belied: boolean): Change[] {
    const change = this.bursts.change(kind);
    if (change && belied) this.#retune(kind, resource, budget);
    if (change && !belied) this.#rebound(kind, resource, budget, now);
    return change ? [change] : [];
  }

  /** The burst changes, but nothing that was spent was too much: the rate goes on. */
  #rebound(kind: Kind, resource: "rpm" | "tpm", budget: Budget, now: number): void {
    const back = keeping(budget, resource, now, () => this.#retune(kind, resource, budget));
    if (back > 0) this.#ours.levels.forget(kind, back);
  }

  /** What this answer reports of a bucket's minute or day, unless more is known already. */
  #hear(kind: Kind, resource: "rpm" | "tpm", name: Name, reading: PoolReading): Heard[] {
    const told = reading[name];
    if (!told) return [];
    const { limits, most } = this.#bounds;
    const expected = {
      most: Math.max(limits[resource], most[resource]),
      day: this.days.of(kind).expected(name),
      windowSeconds: limits.windowSeconds ?? null,
    };
    const period = periodOf(told, expected);
    if (period !== "day") this.bursts.hear(kind, told, reading.at);
    if (period === "day") return this.days.of(kind).hear(name, told.limit, reading.at) ? [{ told }] : [];
    const foreign = this.#foreign[name];
    if (period === null || reading.at < foreign.heardAt || !this.#own[name].told(told.limit, reading.sentAt, reading.at)) return [];
    this.#untold.told(kind);
    foreign.heardAt = reading.at;
    foreign.limit = told.limit;
    return [{ foreign, told }];
  }

  /** When a limit was reported that is believed from now on, ms; -Infinity if there is none. */
  #undenied(name: Name, now: number): number {
    const told = this.#own[name].undenied(now);
    if (!told) return Number.NEGATIVE_INFINITY;
    [this.#foreign[name].limit, this.#foreign[name].heardAt] = [told.limit, told.at];
    return told.at;
  }

  /** The day's limit, and what is left of it. */
  #followDay(kind: Kind, heard: readonly Heard[], budget: Budget, reading: PoolReading, now: number): LimitChange[] {
    const ofDay = heard.flatMap((each) => ("foreign" in each ? [] : each.told));
    const total = (at: number) => this.#ours.levels.total(kind, at);
    const totals = { told: total(reading.at), now: total(now), arrived: total(this.#arrivedBy(reading.sentAt)) };
    return this.days.follow(kind, ofDay, totals, this.#believesBacks(now) ? REFUND.part : 0, budget, reading, now);
  }

  #lowest(names: readonly Name[], at: number): number {
    return Math.min(...names.map((name) => this.#foreign[name]).flatMap(({ heardAt, limit }) => (heardAt > at - TOLD_MS ? limit : [])));
  }

  /** What was spent between two readings and was not ours was others'. */
  #observe(kind: Kind, foreign: Foreign, told: FullReading, at: number, call: Required<Reservation> | null): void {
    // Our latest calls may not have arrived yet: at the beginning they do not count as spent, at the end they do.
    const lateMs = (this.#bounds.limits.transitMs ?? 0) * LATE + this.#late.answeredMs;
    const own = call && { at: call.at, amount: kind === "requests" ? 1 : call.tokens };
    foreign.observe(told, at, own, this.#ours.turnedAway[kind], this.#late.answeredMs, (since, of) => {
      const [before, until] = [this.#ours.levels.total(kind, since - lateMs), this.#ours.levels.total(kind, at)];
      if (before === null || until === null) return null;
      const [arrived, left] = [this.#ours.levels.total(kind, since) ?? until, this.#ours.levels.total(kind, at - lateMs) ?? before];
      const known = of && of.at > since - lateMs ? of.amount : 0;
      return { least: Math.max(0, left - arrived), most: until - before, known };
    });
  }

  /** Lowers what we believe is free to what upstream says is left, allowing for our own calls on their way. */
  #bring(
    kind: Kind,
    resource: "rpm" | "tpm",
    foreign: Foreign,
    told: FullReading,
    { at, sentAt }: PoolReading,
    budget: Budget,
    now: number,
  ): void {
    if (at <= this.#correctedAt) return;
    const level = this.#ours.levels.most(kind, sentAt, at, this.#refillOf(told.limit));
    if (level === null) return;
    const known = this.#ours.correctedSince(kind, at);
    const transitMs = this.#bounds.limits.transitMs ?? 0;
    // A bucket keeps back what refills while calls may be late; a part of that is assumed to be on its way. Of a window, as much is left to others, if there
    // are any.
    const keeps = !this.#bounds.limits.windowSeconds || this.#sharing.isSeen(now);
    const kept = keeps ? (this.#minutes[kind].limit / 60_000) * transitMs * (1 - LATE) : 0;
    // Since `at`, our bucket and upstream's have refilled alike, and what we started is already deducted from ours.
    const spare = (foreign.pace(now) / 60_000) * FORESEEN.spareMs;
    const missing = burstOf(budget, resource) - level - known - told.remaining + kept + spare;
    if (missing <= 0) return;
    this.#sharing.seen(missing - kept, now);
    this.#ours.corrected(kind, correct(budget, resource, missing, now), budget, now);
  }

  /** Tokens that came back upstream may be spent again. */
  #takeBack(heard: readonly { told: FullReading }[], { at, sentAt }: PoolReading, budget: Budget, now: number): void {
    if (at <= this.#correctedAt || !this.#believesBacks(now)) return;
    const times = { arrived: this.#arrivedBy(sentAt), at, now, transitMs: this.#bounds.limits.transitMs ?? 0 };
    const corrected = this.#ours.correctedSince("tokens", times.arrived);
    const back = Math.min(...heard.map(({ told }) => cameBack(told, this.#ours.levels, corrected, times))) * REFUND.part;
    if (back > 0) this.#ours.corrected("tokens", correct(budget, "tpm", -back, now), budget, now);
  }

  /** What refills by itself, units per ms: nothing of a window, where what was taken stays until it is over. */
  #refillOf(limit: number): number {
    return this.#bounds.limits.windowSeconds ? 0 : limit / 60_000;
  }

  get #givesBack(): boolean {
    return this.#bounds.refund === true && !this.#bounds.limits.windowSeconds;
  }

  #believesBacks(now: number): boolean {
    return this.#givesBack && now - this.#refusedAt >= REFUND.distrustMs;
  }

  /** Calls started by this instant (ms) had certainly arrived when a call was sent at `sentAt`: each is assumed to be as late as the latest. */
  #arrivedBy(sentAt: number): number {
    return sentAt - this.#late.leavingMs - (this.#bounds.limits.transitMs ?? 0);
  }

  /** Others are assumed to go on as they did, until an answer says otherwise. */
  #foresee(budget: Budget, now: number): void {
    const elapsed = now - this.#foreseenAt;
    if (elapsed < FORESEEN.everyMs) return;
    this.#foreseenAt = now;
    for (const [kind, resource, , names] of KINDS) {
      const heard = names.map((name) => this.#foreign[name]).filter(({ measuredAt }) => now - measuredAt <= FORESEEN.silenceMs);
      const taken = Math.max(0, ...heard.map((foreign) => this.#minutes[kind].limit - foreign.left(now)));
      if (taken > 0) correct(budget, resource, (taken / 60_000) * Math.min(elapsed, FORESEEN.silenceMs), now);
    }
    this.#ours.note(budget, now);
  }
}
