/**
 * What was spent under a higher limit, and may be owed under the lower one that it was cut to. An upstream that refills a bucket has forgotten it, one that
 * keeps a log of the minute has not, and the headers of both say the same: nothing is left. So a call is let go to find out before the debt is paid off. Law:
 * one such call at a time, and the wait for the next one triples.
 */
import { type Budget, burstOf, paceOf, used } from "./budget.ts";
import type { Kind } from "./levels.ts";

/** `firstMs`: when the first one goes, after the cut. Without it most of a minute would be lost, and a debt that is paid off sooner is not worth a refusal. */
const SEE = { firstMs: 2_000, factor: 3 };
/** Less than this is rounding. */
const HAIR = 1e-6;

/** `since`: when the limit was cut, ms; `times`: how many calls went to find out; `nextAt`: when the next may go, ms. */
export type OwedRecord = { since: number; times: number; nextAt: number };

class Owed {
  readonly #kind: Kind;
  readonly #resource: "rpm" | "tpm";
  #debt: OwedRecord | null = null;
  /** When the last call to find out was let go, ms. */
  #seeingSince = Number.POSITIVE_INFINITY;
  #written: OwedRecord | null = null;

  constructor(kind: Kind, resource: "rpm" | "tpm") {
    [this.#kind, this.#resource] = [kind, resource];
  }

  /** The limit was lowered just now. It is a debt if what is spent beyond its burst takes more than a moment to pay off. */
  lowered(budget: Budget, now: number): void {
    if (this.#debt || this.#refillMs(budget, this.#beyond(budget, now)) <= SEE.firstMs) return;
    this.#debt = { since: now, times: 0, nextAt: now + SEE.firstMs };
    // Calls that were let go before now say nothing about this cut.
    this.#seeingSince = Number.POSITIVE_INFINITY;
  }

  get isOwed(): boolean {
    return this.#debt !== null;
  }

  /**
   * When a call that takes this much may be let go, ms, whatever is owed; Infinity: nothing is owed, so there is nothing to find out. Not before a bucket that
   * was empty at the cut would have refilled this much: until then the call would be refused for sure.
   */
  seeAt(budget: Budget, amount: number): number {
    if (!this.#debt) return Number.POSITIVE_INFINITY;
    return Math.max(this.#debt.nextAt, this.#debt.since + this.#refillMs(budget, amount));
  }

  /** A call that takes this much was let go just now. */
  started(budget: Budget, amount: number, now: number): void {
    if (!this.#debt) return;
    const before = used(budget, this.#resource, now) - amount;
    if (before + Math.min(amount, burstOf(budget, this.#resource)) <= burstOf(budget, this.#resource) + HAIR) {
      this.#debt = null;
      return;
    }
    const times = this.#debt.times + 1;
    this.#debt = { ...this.#debt, times, nextAt: now + SEE.firstMs * SEE.factor ** times };
    this.#seeingSince = now;
  }

  /** Whether a call let go at `startedAt` (ms) is the one that went to find out, or a later one. */
  sees(startedAt: number): boolean {
    return this.#debt !== null && startedAt >= this.#seeingSince;
  }

  /** That call was taken: nothing is owed. Returns what is to be given back. */
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

  #refillMs(budget: Budget, amount: number): number {
    return amount / (paceOf(budget)[this.#kind] ?? Number.POSITIVE_INFINITY);
  }

  #beyond(budget: Budget, now: number): number {
    return Math.max(0, used(budget, this.#resource, now) - burstOf(budget, this.#resource));
  }
}

/** The debts of a pool's requests and tokens. */
export class Debts {
  readonly #of: Record<Kind, Owed> = { requests: new Owed("requests", "rpm"), tokens: new Owed("tokens", "tpm") };

  of(kind: Kind): Owed {
    return this.#of[kind];
  }

  get isOwed(): boolean {
    return this.#of.requests.isOwed || this.#of.tokens.isOwed;
  }

  /** When a call of this many tokens may be let go, ms, whatever is owed; Infinity for a limit that owes nothing. */
  seeAt(budget: Budget, tokens: number): { rpm: number; tpm: number } {
    return { rpm: this.#of.requests.seeAt(budget, 1), tpm: this.#of.tokens.seeAt(budget, tokens) };
  }

  /** Whether a call let go at `startedAt` (ms) is one that went to find out, or a later one. */
  sees(startedAt: number): boolean {
    return this.#of.requests.sees(startedAt) || this.#of.tokens.sees(startedAt);
  }

  get isNotable(): boolean {
    return this.#of.requests.isNotable || this.#of.tokens.isNotable;
  }

  record(): Record<Kind, OwedRecord | null> {
    return { requests: this.#of.requests.record(), tokens: this.#of.tokens.record() };
  }
}
