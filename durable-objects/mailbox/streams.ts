/** The answers that are being told piece by piece, and to how many sockets: by that dispatchers pace their deltas. Lost with the object, and known again with the next delta. */
import { gapMs } from "../../policy/spacing.ts";

export class Streams {
  readonly #readers = new Map<number, number>();
  #total = 0;

  /** A delta of this job came. */
  begin(n: number): void {
    if (!this.#readers.has(n)) this.#readers.set(n, 0);
  }

  /** So many sockets were sent it. */
  told(n: number, readers: number): void {
    const before = this.#readers.get(n);
    // The stream may have ended while the news was on its way.
    if (before === undefined) return;
    this.#readers.set(n, readers);
    this.#total += readers - before;
  }

  /** No delta follows, or none of this attempt. */
  over(n: number): void {
    this.#total -= this.#readers.get(n) ?? 0;
    this.#readers.delete(n);
  }

  /** ms that a dispatcher gathers the chunks of one stream. */
  get gapMs(): number {
    return gapMs(this.#readers.size, this.#total);
  }
}
