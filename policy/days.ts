/** A pool's limits of a day, of requests and of tokens: what is asked of upstream where nothing is left of one that it told. */
import { type Bounds, type Days, KINDS, type LearnedRecord, type LimitChange } from "./bounds.ts";
import type { Budget } from "./budget.ts";
import { Day, type DayResource } from "./day.ts";
import type { Kind } from "./levels.ts";

export class LearnedDays {
  readonly #days: Record<Kind, Day>;

  constructor({ limits, most }: Bounds) {
    this.#days = { requests: new Day("rpd", limits, most.rpd ?? null), tokens: new Day("tpd", limits, most.tpd ?? null) };
  }

  of(kind: Kind): Day {
    return this.#days[kind];
  }

  /** Of each that upstream told, when a call may be let go though nothing is left of it, ms. No answer but a call's tells that there is more. */
  get asks(): Partial<Record<DayResource, number>> {
    return Object.fromEntries(this.#learned.map(({ askAt, resource }) => [resource, askAt]));
  }

  /** A call that was let go at `startedAt` (ms) was answered. If it asked, and no header has told what it found, it has found that there is more. */
  answered(budget: Budget, startedAt: number): LimitChange[] {
    return this.#learned.filter((day) => day.isAsking(startedAt, true)).map((day) => gone(day, budget));
  }

  /** The limits that are followed now. */
  get limits(): Days {
    return { rpd: this.#days.requests.limit, tpd: this.#days.tokens.limit };
  }

  /** Whether more was learned than what was written tells, though no limit changed. */
  get isNotable(): boolean {
    return KINDS.some(([kind]) => this.#days[kind].isNotable);
  }

  record(): Pick<LearnedRecord, "rpd" | "tpd"> {
    return { rpd: this.#days.requests.record(), tpd: this.#days.tokens.record() };
  }

  get #learned(): Day[] {
    return KINDS.map(([kind]) => this.#days[kind]).filter(({ isLearned }) => isLearned);
  }
}

/** There is no such limit any more. */
export function gone(day: Day, budget: Budget): LimitChange {
  const from = day.limit;
  day.gone(budget);
  return { resource: day.resource, from, to: day.limit };
}
