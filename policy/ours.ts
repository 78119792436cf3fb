/**
 * What we let go from a pool ourselves, and how much of it was still spent, as known at each instant. Upstream's figures are compared with this, because its
 * answers come late.
 */
import { type Budget, type Reservation, used } from "./budget.ts";
import { Corrections } from "./corrections.ts";
import { type Kind, Levels } from "./levels.ts";

export class Ours {
  readonly levels: Levels;
  readonly #total = { requests: 0, tokens: 0 };
  /** The part of these that upstream turned away, and may not count as spent. */
  readonly #turnedAway = { requests: 0, tokens: 0 };
  readonly #corrections = new Corrections();

  /** `since`: nothing is known from before that instant (ms). */
  constructor(since: number) {
    this.levels = new Levels(since);
  }

  get turnedAway(): Readonly<Record<Kind, number>> {
    return this.#turnedAway;
  }

  started(budget: Budget, tokens: number, now: number): void {
    this.#total.requests++;
    this.charged(budget, tokens, now);
  }

  /** A call that ended had used this many tokens more than it was let go with. */
  charged(budget: Budget, tokens: number, now: number): void {
    this.#total.tokens += tokens;
    this.note(budget, now);
  }

  wasTurnedAway(tokens: number): void {
    this.#turnedAway.requests++;
    this.#turnedAway.tokens += tokens;
  }

  /** A call was never made. Returns how much of it may be back already, by corrections since. `perMs`: what refills a ms. */
  unmade({ at: since, tokens }: Required<Reservation>, kind: Kind, perMs: number): number {
    const amount = kind === "requests" ? 1 : tokens;
    const back = this.#corrections.backSince(kind, since);
    this.#total[kind] -= amount;
    this.levels.strike(kind, since, amount, Math.max(0, amount - back), perMs);
    return back;
  }

  /** An answer showed that this much more is spent; negative: that it is free again. */
  corrected(kind: Kind, amount: number, budget: Budget, now: number): void {
    this.note(budget, now);
    this.#corrections.add(kind, amount, now);
  }

  /** What was learned after an instant (ms), and so is not in the level of that instant. */
  correctedSince(kind: Kind, at: number): number {
    return this.#corrections.since(kind, at);
  }

  note(budget: Budget, now: number): void {
    const level = (kind: Kind, resource: "rpm" | "tpm") => ({ spent: used(budget, resource, now), total: this.#total[kind] });
    this.levels.note({ at: now, requests: level("requests", "rpm"), tokens: level("tokens", "tpm") });
  }
}
