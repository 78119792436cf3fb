/**
 * By when a call that was let go has to leave. Where it leaves later, its limit's own bucket has refilled meanwhile and upstream's, which was full, has not: it
 * asks anew. Law: a bucket gives up what it refills in its transit (policy/budget.ts), and whatever calls do, no more than that comes at once beside what it lets go: half
 * of it is for those that leave in time, an eighth for those that need not, the rest for the way to upstream.
 *
 * So a call need not ask only while all that was let go of late, and so might still be under way, is within that eighth: of a limit of which hardly anything is
 * ever used, that is. What a bucket holds does not tell: of one that is full again all that was let go in the last minute may be waiting yet.
 */
const PART = { inTime: 1 / 2, late: 1 / 8 };
/**
 * Of a window's transit, the part within which a call has to leave. A window gives nothing up: what is let go counts from then until a window and its transit later, so a call that leaves
 * w ms later than it was let go is counted w ms too short. What is left of the transit is for the way to upstream, whose differences are most of it.
 */
const OF_WINDOW = 1 / 6;
/** Those that need not ask leave within this, ms; or they ask as well. */
const LONGEST_MS = 60_000;

/** How long after it was let go a call of a limit in windows may leave without asking, ms. */
export function leaveMsOf(transitMs: number): number {
  return transitMs * OF_WINDOW;
}

export class Leaving {
  readonly #transitMs: number;
  /** The number of the present minute, null before the first; what was let go in it, and in the one before: Infinity where that is not known. */
  #minute: number | null = null;
  #amount = 0;
  #before = 0;

  /** What is spent for calls that asked, and had been spent for them before: it had refilled by then. It is so for as long as so much is spent: where it faded as all refills, such a load took half a minute longer. */
  #twice = 0;

  constructor(transitMs: number) {
    this.#transitMs = transitMs;
  }

  /** So much was let go just now. */
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

  /** A call was let go anew, and of what had been taken for it so much did not come back. */
  again(amount: number): void {
    this.#twice += amount;
  }

  /** What is spent, but for what was twice: in a bucket that is kept near full, by who lets nothing of it be lost, that would be half of all where calls are always late. */
  once(spent: number): number {
    this.#twice = Math.min(this.#twice, spent);
    return spent - this.#twice;
  }

  /** Goes on where that of another limit ended. */
  succeed(before: Leaving): void {
    [this.#minute, this.#amount, this.#before, this.#twice] = [before.#minute, before.#amount, before.#before, before.#twice];
  }
}
