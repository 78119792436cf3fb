/**
 * Verdicts that a mailbox has not confirmed. Law: each is sent again until it is, but only so many at once: a mailbox that is out of reach may be owed a
 * hundred thousand.
 */
import type { Entry } from "./book.ts";

/** An unconfirmed verdict is sent again after this, ms. */
const RETRY_MS = 5_000;
/** How many are sent again in one turn, and the pause before the next ones, ms. */
const AGAIN = { most: 500, pauseMs: 100 };

const NONE: readonly Entry[] = [];

export class Endings {
  /** By job; the one sent longest ago comes first. */
  readonly #all = new Map<string, { entry: Entry; sentAt: number }>();
  #pausedUntil = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#all.size;
  }

  sent(entry: Entry, now: number): void {
    this.#all.delete(entry.row.job);
    this.#all.set(entry.row.job, { entry, sentAt: now });
  }

  /** At wake: when it was last sent is not known. */
  restore(entry: Entry): void {
    this.#all.set(entry.row.job, { entry, sentAt: Number.NEGATIVE_INFINITY });
  }

  delete(job: string): void {
    this.#all.delete(job);
  }

  /** When some are to be sent again, ms; Infinity if there are none. */
  get nextAt(): number {
    if (this.#all.size === 0) return Number.POSITIVE_INFINITY;
    for (const { sentAt } of this.#all.values()) return Math.max(sentAt + RETRY_MS, this.#pausedUntil);
    return Number.POSITIVE_INFINITY;
  }

  /** Those to send again now; notes them as sent. */
  due(now: number): readonly Entry[] {
    if (this.nextAt > now) return NONE;
    const due: Entry[] = [];
    for (const { entry, sentAt } of this.#all.values()) {
      if (due.length === AGAIN.most || sentAt + RETRY_MS > now) break;
      due.push(entry);
    }
    for (const entry of due) this.sent(entry, now);
    this.#pausedUntil = now + AGAIN.pauseMs;
    return due;
  }
}
