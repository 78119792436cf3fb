/** Since when a minute's limit that is not as configured was asked for, by calls that were taken, and no answer told of it. What fails tells of no limit: an hour's outage is not to undo what was learned. */
import type { Kind } from "./levels.ts";

/** After so long nobody tells it any more, ms. */
const FORGET_MS = 600_000;

export class Untold {
  /** When the first call was let go since it was told, ms; null if none was. */
  readonly #asked: Record<Kind, number | null> = { requests: null, tokens: null };
  /** When the first of these was let go that was taken; and as it is written. */
  readonly #answered: Partial<Record<Kind, number>> = {};
  #written: Partial<Record<Kind, number>> = {};

  /** A call was let go just now. True: nobody tells the limit any more. */
  started(kind: Kind, now: number): boolean {
    this.#asked[kind] ??= now;
    const since = this.#answered[kind];
    return since !== undefined && now - since > FORGET_MS;
  }

  /** A call that was let go at `startedAt` (ms) was taken, and its headers were heard before. */
  answered(kind: Kind, startedAt: number): void {
    const since = this.#asked[kind];
    if (since !== null && startedAt >= since) this.#answered[kind] ??= startedAt;
  }

  told(kind: Kind): void {
    this.#asked[kind] = null;
    delete this.#answered[kind];
  }

  get isNotable(): boolean {
    return this.#answered.requests !== this.#written.requests || this.#answered.tokens !== this.#written.tokens;
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
