/**
 * What others spend of one of upstream's buckets, as its headers tell from answer to answer: of what it lost between two of them, that which was not
 * ours. Law: two readings are held against each other only if they are of the same bucket, with the same limit.
 */
import type { FullReading } from "../schemas/rate.ts";

/** Readings that are less far apart tell nothing of a rate; and how long what others do is remembered, ms. */
const MEASURE_MS = 5_000;
const FADE_MS = 20_000;
/** What our calls may be late by is little against the time that is measured. */
const MEASURE_LATE = 4;
/** What refills in so long is all but nothing. */
const EMPTY_MS = 2_000;
/** Less than this part of a limit is the error of the measurement. */
const NOTABLE = 0.03;

type Use = { at: number; limit: number; used: number; refused: number };

export class Foreign {
  /** As told last, and when upstream reckoned it, ms. */
  limit = 0;
  heardAt = Number.NEGATIVE_INFINITY;
  #last: Use | null = null;
  #pace = 0;

  /** When their pace was last measured, ms; -Infinity if it never was. */
  get measuredAt(): number {
    return this.#last?.at ?? Number.NEGATIVE_INFINITY;
  }

  /** What others spend of it a minute, as far as answers of the last minutes tell. */
  pace(now: number): number {
    if (!this.#last || this.#pace < this.limit * NOTABLE) return 0;
    return this.#pace * Math.exp(-Math.max(0, now - this.#last.at - FADE_MS) / FADE_MS);
  }

  /** What is left to us of a minute of it. */
  left(now: number): number {
    return this.limit - this.pace(now);
  }

  /** `refused`: what it refused of ours, ever. `lateMs`: how late our calls may come. `ours`: what we let go since an instant; null if that is forgotten. */
  observe({ limit, remaining }: FullReading, at: number, refused: number, lateMs: number, ours: (since: number) => number | null): void {
    const use: Use = { at, limit, used: limit - remaining, refused };
    const last = this.#last?.limit === limit ? this.#last : null;
    const elapsed = last ? at - last.at : 0;
    if (last && elapsed < Math.max(MEASURE_MS, MEASURE_LATE * lateMs)) return;
    this.#last = use;
    if (!last) return;
    const letGo = ours(last.at);
    if (letGo === null) return;
    // A bucket that was all but empty at either end refilled for less than the whole time, nobody knows how long.
    const perMs = limit / 60_000;
    const refilled = Math.min(last.used, use.used) > perMs * EMPTY_MS ? perMs * elapsed : 0;
    const others = use.used - last.used + refilled - (letGo - (use.refused - last.refused));
    const pace = this.#pace + ((others / elapsed) * 60_000 - this.#pace) * (1 - Math.exp(-elapsed / FADE_MS));
    // Less than nothing is an error of the measurement, and is not to hide what comes after it.
    this.#pace = Math.max(0, pace);
  }
}
