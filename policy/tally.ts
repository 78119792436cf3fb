/** How one limit is counted: all that a budget asks of it. Amounts are in units of the limit, instants in ms. */
import { type Bucket, FULL, freeAt, give, giveBack, type Rate, readyAt, spentAt, take } from "./bucket.ts";

export interface Tally {
  /** The last instant at which something was taken. */
  readonly at: number;
  spent(now: number): number;
  /** Negative while a debt is paid off. */
  free(now: number): number;
  /** The earliest instant from `now` on at which `amount` can be taken. More than the limit ever holds needs all of it, and leaves a debt. */
  readyAt(amount: number, now: number): number;
  take(amount: number, now: number): void;
  /** Counts `amount` as spent too, without a call that leaves now. */
  owe(amount: number, now: number): void;
  /** Takes `amount` off what is spent, at once: when it was taken is not known. */
  give(amount: number, now: number): void;
  /** What was taken at `since` was never used: it is as if it had never been taken. */
  giveBack(amount: number, since: number, now: number): void;
  /** When the last of some calls is let through if nobody else is there. They take `amount` together, the last one `own` of it. */
  clearedAt(amount: number, own: number, now: number): number;
  /** How much later `head` can be taken if `ahead` is taken now. */
  delayMs(head: number, ahead: number, now: number): number;
  /** When all of the limit is free, if nothing more is taken. */
  wholeAt(now: number): number;
  /** Goes on where another tally of its kind, with another limit, ended. */
  succeed(before: Tally): void;
}

/** After a cut, a limit may owe what it refills in this time, and no more: upstream counts no minute longer than a minute. */
const RETUNED_MS = 60_000;

/** Counts by a bucket that refills all the time. */
export class Refilling implements Tally {
  readonly rate: Rate;
  bucket: Bucket = FULL;
  readonly #whole: number;

  /** `whole`: the most that a single call may take; above the burst it leaves a debt. */
  constructor(rate: Rate, whole: number) {
    this.rate = rate;
    this.#whole = whole;
  }

  get at(): number {
    return this.bucket.at;
  }

  spent(now: number): number {
    return spentAt(this.bucket, this.rate, now);
  }

  free(now: number): number {
    return freeAt(this.bucket, this.rate, now);
  }

  readyAt(amount: number, now: number): number {
    return readyAt(this.bucket, this.rate, amount, now);
  }

  take(amount: number, now: number): void {
    this.bucket = take(this.bucket, this.rate, amount, now);
  }

  owe(amount: number, now: number): void {
    this.take(amount, now);
  }

  give(amount: number, now: number): void {
    this.bucket = give(this.bucket, this.rate, amount, now);
  }

  giveBack(amount: number, since: number, now: number): void {
    this.bucket = giveBack(this.bucket, this.rate, amount, since, now);
  }

  clearedAt(amount: number, own: number, now: number): number {
    const debt = Math.max(0, own - this.rate.burst);
    const missing = amount - debt - this.free(now);
    return missing > 0 ? Math.max(now, this.at) + missing / this.rate.perMs : now;
  }

  delayMs(_: number, ahead: number): number {
    return ahead / this.rate.perMs;
  }

  wholeAt(now: number): number {
    return now + this.spent(now) / this.rate.perMs;
  }

  /**
   * What was spent stays spent, as far as the new limit may owe it: paying off the rest at its rate would take hours, and without a call nobody learns that the
   * limit is back. A call that takes all of a limit is never forgotten, however slowly it refills.
   */
  succeed(before: Tally): void {
    if (!(before instanceof Refilling)) return;
    const most = Math.max(this.#whole, this.rate.burst + this.rate.perMs * RETUNED_MS);
    const spent = Math.min(before.bucket.spent, most);
    this.bucket = { ...before.bucket, spent };
  }
}
