/**
 * Since when upstream has taken calls without reporting a per-minute limit that was learned. Failed calls do not count, because they report no limit: an hour's
 * outage must not undo what was learned.
 */
import type { Kind } from "./levels.ts";

/** After this long the limit counts as no longer reported, ms. */
const FORGET_MS = 600_000;

export class Untold {
  /** Whether the limit was reported, even if as configured; and the same as last stored. */
  readonly isTold: Record<Kind, boolean> = { requests: false, tokens: false };
  #toldBefore = { ...this.isTold };
  /** When the first call since the last report was let go, ms; null if none was. */
  readonly #asked: Record<Kind, number | null> = { requests: null, tokens: null };
  /** When the first of these calls that upstream took was let go, ms; and the same as last stored. */
  readonly #answered: Partial<Record<Kind, number>> = {};
  #written: Partial<Record<Kind, number>> = {};

  /** A call was let go just now. Returns true if the limit counts as no longer reported. */
  started(kind: Kind, now: number): boolean {
    this.#asked[kind] ??= now;
    const since = this.#answered[kind];
    if (since === undefined || now - since <= FORGET_MS) return false;
    this.isTold[kind] = false;
    return true;
  }

  /** A call that was let go at `startedAt` (ms) was taken. Its headers were heard before. */
  answered(kind: Kind, startedAt: number): void {
    const since = this.#asked[kind];
    if (since !== null && startedAt >= since) this.#answered[kind] ??= startedAt;
  }

  told(kind: Kind): void {
    this.isTold[kind] = true;
    this.#asked[kind] = null;
    delete this.#answered[kind];
  }

  /** What was reported is no longer believed. */
  forget(kind: Kind): void {
    this.isTold[kind] = false;
  }

  get isNotable(): boolean {
    if (this.isTold.requests !== this.#toldBefore.requests || this.isTold.tokens !== this.#toldBefore.tokens) return true;
    return this.#answered.requests !== this.#written.requests || this.#answered.tokens !== this.#written.tokens;
  }

  /** To be stored: an object that sleeps between calls would otherwise count the ten minutes from each of them. */
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
