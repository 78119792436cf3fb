/** Answers being streamed, and to how many sockets: dispatchers pace their deltas by it. Lost with the object, and known again with the next delta. */
import { gapMs } from "../../policy/spacing.ts";

export class Streams {
  readonly #readers = new Map<number, number>();
  #total = 0;

  /** A delta of this job came. */
  begin(n: number): void {
    if (!this.#readers.has(n)) this.#readers.set(n, 0);
  }

  /** The job's newest delta was sent to this many sockets. */
  told(n: number, readers: number): void {
    const before = this.#readers.get(n);
    // The stream may have ended while the delta was on its way.
    if (before === undefined) return;
    this.#readers.set(n, readers);
    this.#total += readers - before;
  }

  /** No delta follows, or none of this attempt. */
  over(n: number): void {
    this.#total -= this.#readers.get(n) ?? 0;
    this.#readers.delete(n);
  }

  /** How long a dispatcher gathers the chunks of one stream before sending them, ms. */
  get gapMs(): number {
    return gapMs(this.#readers.size, this.#total);
  }
}
