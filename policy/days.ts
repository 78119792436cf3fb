/** A pool's limits of a day, of requests and of tokens, and the calls that ask upstream when nothing is left of one that it reported. */
import type { LimitReading, PoolReading } from "../schemas/rate.ts";
import { type Bounds, type Days, isFull, KINDS, type LearnedRecord, type LimitChange } from "./bounds.ts";
import type { Budget } from "./budget.ts";
import { Day, type DayResource } from "./day.ts";
import type { Kind } from "./levels.ts";

type Totals = { told: number | null; now: number | null; arrived: number | null };

export class LearnedDays {
  readonly #days: Record<Kind, Day>;

  constructor({ limits, most }: Bounds) {
    this.#days = { requests: new Day("rpd", limits, most.rpd ?? null), tokens: new Day("tpd", limits, most.tpd ?? null) };
  }

  of(kind: Kind): Day {
    return this.#days[kind];
  }

  /** Whether upstream reported one. */
  get isLearned(): boolean {
    return this.#days.requests.isLearned || this.#days.tokens.isLearned;
  }

  /** For each limit that upstream reported, when a call may start although nothing is left, ms. Only a call's answer can show that there is more. */
  get asks(): Partial<Record<DayResource, number>> {
    return Object.fromEntries(this.#learned.map(({ askAt, resource }) => [resource, askAt]));
  }

  /**
   * An answer reported the day's limit or, if `told` is empty, the minute's instead. `totals`: all that was started until upstream computed it, until now, and
   * until the last call that had certainly arrived when the answered call was sent; null if that is forgotten. `believed`: the share of the tokens that came
   * back that is spent again.
   */
  follow(
    kind: Kind,
    told: readonly LimitReading[],
    totals: Totals,
    believed: number,
    budget: Budget,
    { at, sentAt }: PoolReading,
    now: number,
  ): LimitChange[] {
    const day = this.#days[kind];
    const asking = day.isLearned && day.isAsking(sentAt);
    // The minute's instead, although nothing was left of the day's: the day's limit is gone.
    if (asking && day.isAsking(sentAt, true) && told.length === 0) return [gone(day, budget)];
    const from = day.limit;
    const changed = day.follow(budget, at, now);
    const full = told.filter(isFull);
    const { arrived, now: total } = totals;
    // A bucket that was only just opened does not contain the calls under way.
    const counted = from === null && changed ? (arrived ?? 0) : totals.told;
    if (counted !== null && total !== null) for (const { remaining } of full) day.bring(budget, remaining, total - counted, at, now);
    // Nobody gives requests back: if upstream counts fewer than we made, a new day has begun. Whether it gives tokens back, only the operator can know; but it
    // never counts more than the limit, whereas we also count the calls that asked beyond it.
    const isBack = kind === "requests" ? asking : believed > 0;
    const spent = Math.max(...full.map(({ limit, remaining }) => (isBack ? limit - remaining : limit)));
    if ((isBack || asking) && full.length > 0 && arrived !== null && total !== null)
      day.takeBack(budget, spent, total - arrived, asking ? 1 : believed, now);
    if (asking) day.heardOf();
    return changed ? [{ resource: day.resource, from, to: day.limit }] : [];
  }

  /** A call started at `startedAt` (ms) was answered. If it asked, and no header has shown what it found, then it found that there is more. */
  answered(budget: Budget, startedAt: number): LimitChange[] {
    if (!this.isLearned) return [];
    return this.#learned.filter((day) => day.isAsking(startedAt, true)).map((day) => gone(day, budget));
  }

  /** The limits that are followed now. */
  get limits(): Days {
    return { rpd: this.#days.requests.limit, tpd: this.#days.tokens.limit };
  }

  /** Whether more was learned than was last stored, although no limit changed. */
  get isNotable(): boolean {
    return this.#days.requests.isNotable || this.#days.tokens.isNotable;
  }

  record(): Pick<LearnedRecord, "rpd" | "tpd"> {
    return { rpd: this.#days.requests.record(), tpd: this.#days.tokens.record() };
  }

  get #learned(): Day[] {
    return KINDS.map(([kind]) => this.#days[kind]).filter(({ isLearned }) => isLearned);
  }
}

/** There is no such limit any more. */
function gone(day: Day, budget: Budget): LimitChange {
  const from = day.limit;
  day.gone(budget);
  return { resource: day.resource, from, to: day.limit };
}
