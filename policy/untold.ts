/** Since when a minute's limit that is not as configured was asked for, by calls, and no answer told of it. */
import type { Kind } from "./levels.ts";

/** After so long nobody tells it any more, ms. */
const FORGET_MS = 600_000;

export class Untold {
  /** When the first call was let go since it was told, ms; null if none was. */
  readonly #asked: Record<Kind, number | null> = { requests: null, tokens: null };
  /** The same, once such a call was answered; and as it is written. */
  readonly #answered: Partial<Record<Kind, number>> = {};
  #written: Partial<Record<Kind, number>> = {};

  /** A call was let go just now. True: nobody tells the limit any more. */
  started(kind: Kind, now: number): boolean {
    this.#asked[kind] ??= now;
    return now - this.#asked[kind] > FORGET_MS;
  }

  /** A call that was let go at `startedAt` (ms) was answered, and its headers were heard before. */
  answered(kind: Kind, startedAt: number): void {
    const since = this.#asked[kind];
    if (since !== null && startedAt >= since) this.#answered[kind] = since;
  }

  told(kind: Kind): void {
    this.#asked[kind] = null;
    delete this.#answered[kind];
  }

  isNotable(kind: Kind): boolean {
    return this.#answered[kind] !== this.#written[kind];
  }

  /** Who sleeps from one call to the next would count the ten minutes from each. */
  record(): Partial<Record<Kind, number>> {
    this.#written = { ...this.#answered };
    return this.#written;
  }

  restore(record: Partial<Record<Kind, number>>): void {
    this.#written = { ...record };
    Object.assign(this.#asked, record);
    Object.assign(this.#answered, record);
  }
}
