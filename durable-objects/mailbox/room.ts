/**
 * How much a mailbox takes on: an object stores 10 GB, and then accepts only deletions. Law: no answer is paid for that could not be stored, so new jobs are
 * refused well before that limit, and new calls shortly before it; deletions make room again.
 */

/** Bytes. Leaves a gigabyte for the answers to jobs already accepted. */
const NO_MORE_JOBS = 9_000_000_000;
/** Bytes. Leaves a fifth of that gigabyte for the answers to calls under way. */
const NO_MORE_CALLS = 9_800_000_000;

/** How long a looked-up size is trusted, ms. A lookup takes 17 µs, which each job would pay twice; little of the room left fills in a second. */
const BELIEVED_MS = 1_000;

export class Room {
  readonly #look: () => number;
  readonly #now: () => number;
  #bytes = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** `look`: bytes that the object stores, deleted data excluded; `now` in ms. */
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
