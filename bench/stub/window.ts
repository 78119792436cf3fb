/** A sliding log: what was spent in the last minute, entry by entry. An entry stops counting exactly one span after it was made. */
export class Window {
  limit: number;
  private readonly spanMs: number;
  private readonly entries: { at: number; amount: number }[] = [];
  private sum = 0;

  constructor(limit: number, spanMs: number) {
    this.limit = limit;
    this.spanMs = spanMs;
  }

  used(now: number): number {
    while (this.entries.length > 0 && this.entries[0]!.at <= now - this.spanMs) this.sum -= this.entries.shift()!.amount;
    return this.sum;
  }

  fits(amount: number, now: number): boolean {
    return this.used(now) + amount <= this.limit;
  }

  log(amount: number, now: number): void {
    this.entries.push({ at: now, amount });
    this.sum += amount;
  }

  /** Milliseconds until so many old entries have gone that `amount` fits; infinite if it never will. */
  wait(amount: number, now: number): number {
    let over = this.used(now) + amount - this.limit;
    for (const entry of this.entries) {
      if (over <= 0) break;
      over -= entry.amount;
      if (over <= 0) return entry.at + this.spanMs - now;
    }
    return over <= 0 ? 0 : Number.POSITIVE_INFINITY;
  }

  /**
   * For the reset header. The guide's example has a limit of 60 with 59 left reset in one second, so the header speaks of an even return, and a client may not
   * conclude from it how the limit is kept.
   */
  resetMs(now: number): number {
    return Math.ceil((Math.min(this.used(now), this.limit) / this.limit) * this.spanMs);
  }
}
