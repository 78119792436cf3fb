/** A limit that follows what upstream reports. Law: downward at once; upward in steps, and never above the operator's bound. */

/** A raised limit is followed in steps, so that one that goes up and down is not followed into refusals. */
const RAISE = { factor: 1.25, everyMs: 10_000 };

export class Followed {
  /** Infinity means no limit. */
  limit: number;
  readonly #most: number;
  /** As last reported, even if beyond the bound. */
  #told: number;
  #raisedAt = Number.NEGATIVE_INFINITY;

  constructor(limit: number, most: number) {
    this.limit = limit;
    this.#most = most;
    this.#told = limit;
  }

  /** What to store: if only the bound holds the limit back, what was reported, because the bound may be different after a restart. */
  get recorded(): number {
    return this.limit < this.#most ? this.limit : Math.max(this.limit, this.#told);
  }

  /** True if it has changed. */
  follow(told: number, now: number): boolean {
    const from = this.limit;
    this.#told = told;
    const wanted = Math.max(1, Math.min(told, this.#most));
    if (wanted === from || (wanted > from && now - this.#raisedAt < RAISE.everyMs)) return false;
    // A limit that was just lowered is not raised again at once.
    this.#raisedAt = now;
    // A limit that is gone (Infinity) is dropped at once.
    this.limit = wanted > from && wanted < Number.POSITIVE_INFINITY ? Math.min(wanted, from * RAISE.factor) : wanted;
    return true;
  }

  /** Goes back to an earlier limit, within the present bound. */
  restore(limit: number): void {
    this.#told = limit;
    this.limit = Math.min(limit, this.#most);
  }
}
