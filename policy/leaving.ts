/**
 * By when a call that was let go has to leave. A later one asks again: our bucket has refilled meanwhile, but upstream's, which was full, has not. Law: a
 * bucket gives up what it refills in its transit (policy/budget.ts), and whatever calls do, no more than that arrives at once on top of what the bucket lets
 * go. Half of it is for calls that leave in time, an eighth for those that need not, and the rest for the way to upstream.
 *
 * So a call need not ask only while everything let go recently, which may still be waiting, fits into that eighth; that is, when hardly any of the limit is
 * used. The bucket's level does not tell: even if it is full again, all that was let go in the last minute may still be waiting.
 */
const PART = { inTime: 1 / 2, late: 1 / 8 };
/**
 * The part of a window's transit within which a call has to leave. A window gives nothing up: a call counts from when it is let go until a window and its
 * transit later, so one that leaves w ms late is counted w ms too short. The rest of the transit is for the way to upstream, whose variation is most of it.
 */
const OF_WINDOW = 1 / 6;
/** Calls that need not ask leave within this, ms; otherwise they ask too. */
const LONGEST_MS = 60_000;

/** For a limit that is counted in windows: how long after being let go a call may leave without asking, ms. */
export function leaveMsOf(transitMs: number): number {
  return transitMs * OF_WINDOW;
}

export class Leaving {
  readonly #transitMs: number;
  /** The number of the current minute, null before the first; then what was let go in it and in the one before, Infinity if unknown. */
  #minute: number | null = null;
  #amount = 0;
  #before = 0;

  /**
   * What is spent a second time for calls that asked again: it had been spent for them before, and had refilled by then. It counts as twice for as long as that
   * much is spent. When it faded with the refill, such a load took half a minute longer.
   */
  #twice = 0;

  constructor(transitMs: number) {
    this.#transitMs = transitMs;
  }

  /** This much was let go just now. */
  note(amount: number, now: number): void {
    const minute = Math.floor(now / LONGEST_MS);
    const passed = this.#minute === null ? 0 : minute - this.#minute;
    if (passed > 0) [this.#before, this.#amount] = [passed === 1 ? this.#amount : 0, 0];
    this.#minute = Math.max(minute, this.#minute ?? minute);
    this.#amount += amount;
  }

  /** After a restart: what was let go before is not known. */
  forget(): void {
    [this.#amount, this.#before] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  }

  /** By when a call that was noted just now has to leave, ms. */
  by(perMs: number, now: number): number {
    const few = this.#before + this.#amount <= perMs * this.#transitMs * PART.late;
    return now + (few ? LONGEST_MS : this.#transitMs * PART.inTime);
  }

  /** A call was let go again, and this much of what had been taken for it did not come back. */
  again(amount: number): void {
    this.#twice += amount;
  }

  /**
   * What is spent, without what was spent twice. If calls are always late, that would be half of all that is spent of a bucket that is kept near full so that
   * none of its refill is lost (policy/packing.ts).
   */
  once(spent: number): number {
    this.#twice = Math.min(this.#twice, spent);
    return spent - this.#twice;
  }

  /** Goes on where the one of another limit ended. */
  succeed(before: Leaving): void {
    [this.#minute, this.#amount, this.#before, this.#twice] = [before.#minute, before.#amount, before.#before, before.#twice];
  }
}
