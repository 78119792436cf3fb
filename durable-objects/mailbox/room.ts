/**
 * How much a mailbox takes on: an object stores 10 GB, and then writes nothing more but deletions. Law: no answer is paid for that could not be kept, so new jobs end well before
 * that, and new calls before it; what is deleted makes room again.
 */

/** Bytes. A gigabyte is left to the answers of what was taken in. */
const NO_MORE_JOBS = 9_000_000_000;
/** And a fifth of that to those of calls that are under way. */
const NO_MORE_CALLS = 9_800_000_000;

/** How long what was looked up is believed, ms. To look takes 17 µs, which each job would pay twice; what comes in a second is little of what is left. */
const BELIEVED_MS = 1_000;

export class Room {
  readonly #look: () => number;
  readonly #now: () => number;
  #bytes = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** `look`: bytes that the object stores, without what was deleted; `now` in ms. */
  constructor(look: () => number, now: () => number) {
    this.#look = look;
    this.#now = now;
  }

  /** Bytes. */
  get stored(): number {
    const now = this.#now();
    if (Math.abs(now - this.#lookedAt) >= BELIEVED_MS) [this.#bytes, this.#lookedAt] = [this.#look(), now];
    return this.#bytes;
  }

  get takesJobs(): boolean {
    return this.stored < NO_MORE_JOBS;
  }

  get keepsAnswers(): boolean {
    return this.stored < NO_MORE_CALLS;
  }
}
