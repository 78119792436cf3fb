/** A limit that follows what upstream tells of it. Law: downward at once; upward by steps, and never above the operator's bound. */

/** A raised limit is taken on by steps, lest one that goes up and down be followed into refusals. */
const RAISE = { factor: 1.25, everyMs: 10_000 };

export class Followed {
  /** Infinity is no limit. */
  limit: number;
  readonly #most: number;
  /** As it was told last, beyond the bound as well. */
  #told: number;
  #raisedAt = Number.NEGATIVE_INFINITY;

  constructor(limit: number, most: number) {
    this.limit = limit;
    this.#most = most;
    this.#told = limit;
  }

  /** What is to be written: where the bound alone holds it, what was told, for the bound may be another then. */
  get recorded(): number {
    return this.limit < this.#most ? this.limit : Math.max(this.limit, this.#told);
  }

  /** True if it has changed. */
  follow(told: number, now: number): boolean {
    const from = this.limit;
    this.#told = told;
    const wanted = Math.max(1, Math.min(told, this.#most));
    if (wanted === from || (wanted > from && now - this.#raisedAt < RAISE.everyMs)) return false;
    // What was lowered is not raised again at once.
    this.#raisedAt = now;
    // One that is gone is gone at once.
    this.limit = wanted > from && wanted < Number.POSITIVE_INFINITY ? Math.min(wanted, from * RAISE.factor) : wanted;
    return true;
  }

  /** As it was once, within the bound of now. */
  restore(limit: number): void {
    this.#told = limit;
    this.limit = Math.min(limit, this.#most);
  }
}
