/** Refills evenly, and holds what comes back in some seconds: a limit per minute that is enforced over a shorter period. */
export class Bucket {
  limit: number;
  private readonly seconds: number;
  private spent = 0;
  private at = 0;

  /** @param limit a minute's. */
  constructor(limit: number, seconds: number) {
    this.limit = limit;
    this.seconds = seconds;
  }

  used(now: number): number {
    this.spent = Math.max(0, this.spent - Math.max(0, now - this.at) * this.perMs);
    this.at = Math.max(this.at, now);
    return this.spent;
  }

  fits(amount: number, now: number): boolean {
    return this.used(now) + amount <= this.capacity;
  }

  /** What was refused and counts all the same takes no more than there is. */
  log(amount: number, now: number): void {
    this.spent = Math.min(this.capacity, this.used(now) + amount);
  }

  /** Milliseconds until `amount` is there; infinite if it is more than the bucket holds. */
  wait(amount: number, now: number): number {
    return amount > this.capacity ? Number.POSITIVE_INFINITY : Math.max(0, this.used(now) + amount - this.capacity) / this.perMs;
  }

  resetMs(now: number): number {
    return Math.ceil(this.used(now) / this.perMs);
  }

  private get perMs(): number {
    return this.limit / 60_000;
  }

  private get capacity(): number {
    return this.perMs * this.seconds * 1_000;
  }
}
