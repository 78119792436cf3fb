/**
 * What others spend of one of upstream's buckets, as its headers tell from answer to answer: of what it lost between two of them, that which was not
 * ours. Law: two readings are held against each other only if they are of the same bucket, with the same limit; and nobody is seen where only our own calls
 * were turned away.
 *
 * Whether upstream counts a call that it turns away is not known (OpenAI's guide says that it does). If it did not, all of them are missing in what is spent
 * there: the pace is between two bounds. What was known before stands as far as it is between them; else the lower does, until it is so far below nothing that they cannot
 * have been counted. Where our calls are few and large, one more or less of them is as much as others spend: whose answer told was there, and is not counted as having come since.
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

/** `known`: what of the most was surely there before, for its answer is what told then. */
type Ours = { least: number; most: number; known: number };
/** An answer's own call: when it was let go, and what it took. */
export type Call = { at: number; amount: number };
type Use = { at: number; limit: number; used: number; refused: number; call: Call | null };

export class Foreign {
  /** As told last, and when upstream reckoned it, ms. */
  limit = 0;
  heardAt = Number.NEGATIVE_INFINITY;
  #last: Use | null = null;
  /** What others spend a minute, if upstream counts what it turns away, and if it does not. */
  #pace = { least: 0, most: 0 };
  /** The lesser of them as it surely was, below nothing too. */
  #balance = 0;

  /** When their pace was last measured, ms; -Infinity if it never was. */
  get measuredAt(): number {
    return this.#last?.at ?? Number.NEGATIVE_INFINITY;
  }

  /** What others spend of it a minute, as far as answers of the last minutes tell. */
  pace(now: number): number {
    const notable = this.limit * NOTABLE;
    const pace = this.#balance < -notable ? this.#pace.most : this.#pace.least;
    if (!this.#last || pace < notable) return 0;
    return pace * Math.exp(-Math.max(0, now - this.#last.at - FADE_MS) / FADE_MS);
  }

  /** What is left to us of a minute of it. */
  left(now: number): number {
    return this.limit - this.pace(now);
  }

  /** `call`: whose answer it is, if that is known. `refused`: what it turned away of ours, ever, this call too. `lateMs`: how late our calls may come. `ours`: what of ours came since an answer; null if that is forgotten. */
  observe(
    { limit, remaining }: FullReading,
    at: number,
    call: Call | null,
    refused: number,
    lateMs: number,
    ours: (since: number, of: Call | null) => Ours | null,
  ): void {
    const use: Use = { at, limit, used: limit - remaining, refused, call };
    const last = this.#last?.limit === limit ? this.#last : null;
    const elapsed = last ? at - last.at : 0;
    if (last && elapsed < Math.max(MEASURE_MS, MEASURE_LATE * lateMs)) return;
    this.#last = use;
    if (!last) return;
    const came = ours(last.at, last.call);
    if (came === null) return;
    // A bucket that was all but empty at either end refilled for less than the whole time, nobody knows how long.
    const whole = (limit / 60_000) * elapsed;
    const refilled = Math.min(last.used, use.used) > (limit / 60_000) * EMPTY_MS ? whole : 0;
    const grown = use.used - last.used;
    const aMinute = (amount: number) => (amount / elapsed) * 60_000;
    const least = aMinute(grown + refilled - came.most + came.known);
    const most = least + aMinute(use.refused - last.refused);
    const weight = 1 - Math.exp(-elapsed / FADE_MS);
    const towards = (pace: number, measured: number) => pace + (measured - pace) * weight;
    this.#balance = towards(this.#balance, aMinute(grown + whole - came.least));
    // Between the bounds what was known before stands. Less than nothing is an error of the measurement, and is not to hide what comes after it.
    const within = Math.min(Math.max(this.#pace.least, least), most);
    this.#pace = { least: Math.max(0, towards(this.#pace.least, within)), most: Math.max(0, towards(this.#pace.most, most)) };
  }
}
