/**
 * What others spend of one of upstream's buckets: the part of what it lost between two answers, by their headers, that was not ours. Law: two readings are
 * compared only if they are of the same bucket with the same limit; and our own calls that were turned away are never taken for others'.
 *
 * Whether upstream counts a call that it turns away is not known (OpenAI's guide says that it does). If it does not, all those calls are missing from what is
 * spent there, so the pace lies between two bounds. What was known before stands as far as it lies between them. Otherwise the lower bound is used, until it is
 * so far below zero that those calls cannot have been counted. Where our calls are few and large, one more or less is as much as others spend: so the call of
 * the earlier answer, which was there by then, does not count as having come since.
 */
import type { FullReading } from "../schemas/rate.ts";

/** Readings closer together than this say nothing about a rate; and how long what others do is remembered. ms. */
const MEASURE_MS = 5_000;
const FADE_MS = 20_000;
/** The time measured is at least this many times as long as our calls may be late. */
const MEASURE_LATE = 4;
/** What refills in this time is next to nothing. */
const EMPTY_MS = 2_000;
/** Less than this part of a limit is measurement error. */
const NOTABLE = 0.03;

/** What of ours came between two answers. `known`: the part of `most` that was certainly there before, because it is the earlier answer's own call. */
type Ours = { least: number; most: number; known: number };
/** An answer's own call: when it started (ms), and what it took. */
export type Call = { at: number; amount: number };
type Use = { at: number; limit: number; used: number; refused: number; call: Call | null };

export class Foreign {
  /** As last reported, and when upstream computed it, ms. */
  limit = 0;
  heardAt = Number.NEGATIVE_INFINITY;
  #last: Use | null = null;
  /** What others spend per minute: `least` if upstream counts the calls that it turns away, `most` if it does not. */
  #pace = { least: 0, most: 0 };
  /** An upper estimate of `least`, which may be negative. */
  #balance = 0;

  /** When their pace was last measured, ms; -Infinity if it never was. */
  get measuredAt(): number {
    return this.#last?.at ?? Number.NEGATIVE_INFINITY;
  }

  /** What others spend of it per minute, judging by the answers of the last minutes. */
  pace(now: number): number {
    const notable = this.limit * NOTABLE;
    const pace = this.#balance < -notable ? this.#pace.most : this.#pace.least;
    if (!this.#last || pace < notable) return 0;
    return pace * Math.exp(-Math.max(0, now - this.#last.at - FADE_MS) / FADE_MS);
  }

  /** What is left of it for us per minute. */
  left(now: number): number {
    return this.limit - this.pace(now);
  }

  /**
   * `call`: the call that was answered, if known. `refused`: all that was ever turned away of ours, this call included. `lateMs`: how late our calls may
   * arrive. `ours`: what of ours arrived since an earlier answer; null if that is forgotten.
   */
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
    // If next to nothing was spent at either end, the bucket may have been full in between: nobody knows for how long it refilled.
    const whole = (limit / 60_000) * elapsed;
    const refilled = Math.min(last.used, use.used) > (limit / 60_000) * EMPTY_MS ? whole : 0;
    const grown = use.used - last.used;
    const aMinute = (amount: number) => (amount / elapsed) * 60_000;
    const least = aMinute(grown + refilled - came.most + came.known);
    const most = least + aMinute(use.refused - last.refused);
    const weight = 1 - Math.exp(-elapsed / FADE_MS);
    const towards = (pace: number, measured: number) => pace + (measured - pace) * weight;
    this.#balance = towards(this.#balance, aMinute(grown + whole - came.least));
    // Between the bounds, what was known before stands. A negative pace is measurement error, and must not hide what comes later.
    const within = Math.min(Math.max(this.#pace.least, least), most);
    this.#pace = { least: Math.max(0, towards(this.#pace.least, within)), most: Math.max(0, towards(this.#pace.most, most)) };
  }
}
