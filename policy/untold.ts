/** Since when a minute's limit that is not as configured was asked for, by calls that were taken, and no answer told of it. What fails tells of no limit: an hour's outage is not to undo what was learned. */
import type { Kind } from "./levels.ts";

/** After so long nobody tells it any more, ms. */
const FORGET_MS = 600_000;

export class Untold {
  /** Whether it was told, be it as configured; and as it is written. */
  readonly isTold: Record<Kind, boolean> = { requests: false, tokens: false };
  #toldBefore = { ...this.isTold };
  /** When the first call was let go since it was told, ms; null if none was. */
  readonly #asked: Record<Kind, number | null> = { requests: null, tokens: null };
  /** When the first of these was let go that was taken; and as it is written. */
  readonly #answered: Partial<Record<Kind, number>> = {};
  #written: Partial<Record<Kind, number>> = {};

  /** A call was let go just now. True: nobody tells the limit any more. */
  started(kind: Kind, now: number): boolean {
    this.#asked[kind] ??= now;
    const since = this.#answered[kind];
    if (since === undefined || now - since <= FORGET_MS) return false;
    this.isTold[kind] = false;
    return true;
  }

  /** A call that was let go at `startedAt` (ms) was taken, and its headers were heard before. */
  answered(kind: Kind, startedAt: number): void {
    const since = this.#asked[kind];
    if (since !== null && startedAt >= since) this.#answered[kind] ??= startedAt;
  }

  told(kind: Kind): void {
    this.isTold[kind] = true;
    this.#asked[kind] = null;
    delete this.#answered[kind];
  }

  /** What was told is not believed any more. */
  forget(kind: Kind): void {
    this.isTold[kind] = false;
  }

  get isNotable(): boolean {
    if (this.isTold.requests !== this.#toldBefore.requests || this.isTold.tokens !== this.#toldBefore.tokens) return true;
    return this.#answered.requests !== this.#written.requests || this.#answered.tokens !== this.#written.tokens;
  }

  /** Who sleeps from one call to the next would count the ten minutes from each. */
  record(): Partial<Record<Kind, number>> {
    this.#toldBefore = { ...this.isTold };
    this.#written = { ...this.#answered };
    return this.#written;
  }

  restore(record: Partial<Record<Kind, number>>, told: Record<Kind, boolean>): void {
    Object.assign(this.isTold, told);
    this.#toldBefore = { ...told };
    this.#written = { ...record };
    Object.assign(this.#asked, record);
    Object.assign(this.#answered, record);
  }
}
