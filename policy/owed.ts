/**
 * What a limit of before allowed, and the lower one that it was cut to may owe. An upstream that refills a bucket has forgotten it, one that keeps a log of the minute has not, and
 * the headers of both tell the same: nothing is left. So before it is paid off a call goes to see. Law: one at a time, and after each the next is three times as late.
 */
import { type Budget, burstOf, costMs, used } from "./budget.ts";
import type { Kind } from "./levels.ts";

/** The first goes so long after the cut: most of a minute would be lost without it, and a debt that is paid off sooner is not worth a refusal. ms. */
const SEE = { firstMs: 2_000, factor: 3 };
/** Less than this is rounding. */
const HAIR = 1e-6;

/** `times`: how many calls went to see; `nextAt`: when the next may go, ms. */
export type OwedRecord = { times: number; nextAt: number };

export class Owed {
  readonly #kind: Kind;
  readonly #resource: "rpm" | "tpm";
  #debt: OwedRecord | null = null;
  /** When the last call that went to see was let go, ms. */
  #seeingSince = Number.POSITIVE_INFINITY;
  #written: OwedRecord | null = null;

  constructor(kind: Kind, resource: "rpm" | "tpm") {
    [this.#kind, this.#resource] = [kind, resource];
  }

  /** The limit was lowered just now: beyond what it allows at once, more may be owed than a moment pays off. */
  lowered(budget: Budget, now: number): void {
    const unit = costMs(budget, this.#kind, 1);
    if (this.#beyond(budget, now) * unit > SEE.firstMs) this.#debt ??= { times: 0, nextAt: now + SEE.firstMs };
  }

  /** A call may be let go from then on, ms, whatever is owed. Infinity: not before it is paid off. */
  get seeAt(): number {
    return this.#debt?.nextAt ?? Number.POSITIVE_INFINITY;
  }

  /** A call that takes so much was let go just now. */
  started(budget: Budget, amount: number, now: number): void {
    if (!this.#debt) return;
    const before = used(budget, this.#resource, now) - amount;
    if (before + Math.min(amount, burstOf(budget, this.#resource)) <= burstOf(budget, this.#resource) + HAIR) {
      this.#debt = null;
      return;
    }
    const times = this.#debt.times + 1;
    this.#debt = { times, nextAt: now + SEE.firstMs * SEE.factor ** times };
    this.#seeingSince = now;
  }

  /** Whether a call that was let go then (ms) went to see, or since. */
  sees(startedAt: number): boolean {
    return this.#debt !== null && startedAt >= this.#seeingSince;
  }

  /** It was taken: nothing is owed. Answers what is to be given back. */
  forgive(budget: Budget, now: number): number {
    this.#debt = null;
    return this.#beyond(budget, now);
  }

  get isNotable(): boolean {
    return this.#debt?.times !== this.#written?.times;
  }

  record(): OwedRecord | null {
    this.#written = this.#debt;
    return this.#debt;
  }

  restore(record: OwedRecord | null): void {
    this.#debt = this.#written = record;
  }

  #beyond(budget: Budget, now: number): number {
    return Math.max(0, used(budget, this.#resource, now) - burstOf(budget, this.#resource));
  }
}
