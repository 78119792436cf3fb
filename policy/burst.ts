/**
 * How much of a minute's rate may be spent at once: small, until upstream's headers show a continuous bucket of the whole minute; then what it was seen to hold, and a little more. Laws:
 * no more than was seen is built on, so that an upstream whose headers tell of a larger bucket than it has refuses a part of a second's calls, and not a minute's; and what a refusal
 * belied comes back after minutes, after each further one for twice as long. All in seconds of the rate.
 */
import type { FullReading, LimitReading } from "../schemas/rate.ts";
import type { Kind } from "./levels.ts";

/** Where nothing is known. OpenAI may count by the second ("1 request per second for a limit of 60 a minute"), Azure does. */
export const SMALL_SECONDS = 1;
/** A minute's bucket. */
export const WHOLE_SECONDS = 60;

/** What is let go beyond what was seen: each step costs one call's way, and one too many this part of a bucket that is no larger. A step that is hardly one is left out. */
const GROWTH = { factor: 1.25, seconds: 0.25, step: 1.1 };
/**
 * So many readings in a row, over so long and over so many times what rounding hides, decide. The time until a window ends, told in the same place, runs down a second in each:
 * it is as a bucket's for twice what rounding hides at the most.
 */
const EVIDENCE = { readings: 3, ms: 2_000, roundings: 4 };
/** Headers are in whole units and milliseconds, rounded anyhow. Below so much rounding is all that they say. */
const ROUNDING = { ms: 1, part: 0.02, tellingMs: 5 };
/** How long what was cut stays so; at the most, after many times. */
const REST = { leastMs: 600_000, mostMs: 86_400_000 };

/** Readings that all show a continuous bucket, or all do not. */
type Run = { holds: boolean; since: number; at: number; readings: number };
/** `holds`: a continuous bucket was shown. `run`: towards that, or away from it. `cut`: when a refusal belied it, and for how long it is not tried, ms. */
export type BurstRecord = { seconds: number; holds?: boolean; run?: Run; cut?: { at: number; ms: number } };
/** How much may be spent at once from now on. */
export type BurstChange = { burst: Kind; from: number; to: number };
/** `start`: as configured, or where nothing is known. `most`: what it can become. `heldBack`: what of it is not spent, for calls may come late. */
export type Span = { start: number; most: number; heldBack: number };

export class Burst {
  seconds: number;
  readonly #span: Span;
  #holds = false;
  #run: Run | null = null;
  #cut: { at: number; ms: number } | null = null;
  /** Whether more is known than what was written tells. */
  isNotable = false;

  constructor(span: Span) {
    this.seconds = span.start;
    this.#span = span;
  }

  /** What is written needs no evidence. */
  get #isWritten(): boolean {
    return this.#span.most === this.#span.start;
  }

  get #least(): number {
    return Math.min(SMALL_SECONDS, this.#span.start);
  }

  /** What can be spent at once where nothing is known. */
  get small(): number {
    return Math.max(this.#least - this.#span.heldBack, this.#least / 2);
  }

  /** An answer tells of a minute's limit, or of what is none. */
  hear(told: LimitReading, at: number): void {
    const { holds, roundingMs } = continuous(told);
    if (holds === null || this.#isWritten || at < (this.#run?.at ?? at)) return;
    const { readings, since } = this.#run?.holds === holds ? this.#run : { readings: 0, since: at };
    this.#run = { holds, since, at, readings: readings + 1 };
    if (holds === this.#holds) return;
    this.isNotable ||= readings < EVIDENCE.readings;
    if (readings + 1 < EVIDENCE.readings || at - since < Math.max(EVIDENCE.ms, roundingMs * EVIDENCE.roundings)) return;
    this.#holds = holds;
    if (!holds) this.seconds = this.#least;
    this.isNotable = true;
  }

  /** Upstream was seen to have let go so much at once; `unit`: the least that it can let go more. */
  grow(seen: number, unit: number, now: number): void {
    const { heldBack, most } = this.#span;
    if (!this.#isWritten && !this.#holds) return;
    if (this.#cut && now - this.#cut.at < this.#cut.ms) return;
    const atOnce = seen * GROWTH.factor + Math.max(GROWTH.seconds, unit);
    const wanted = Math.min(most, atOnce + heldBack, atOnce * 2);
    if (wanted <= this.seconds || wanted < Math.min(most, this.seconds * GROWTH.step)) return;
    this.seconds = wanted;
    if (wanted === most) this.#cut = null;
  }

  /** Upstream refused a call though it had told that enough was left. What was let go before the last cut knew nothing of it. */
  belied(startedAt: number, now: number): void {
    if (this.seconds <= this.#least || startedAt <= (this.#cut?.at ?? Number.NEGATIVE_INFINITY)) return;
    this.seconds = Math.max(this.#least, this.seconds / 2);
    this.#cut = { at: now, ms: this.#cut ? Math.min(this.#cut.ms * 2, REST.mostMs) : REST.leastMs };
  }

  reset(): void {
    this.seconds = this.#span.start;
    [this.#holds, this.#run, this.#cut] = [false, null, null];
  }

  /** Undefined if all is as it would be without. */
  record(): BurstRecord | undefined {
    this.isNotable = false;
    const run = this.#run?.holds === this.#holds ? null : this.#run;
    if (this.seconds === this.#span.start && !this.#holds && !run && !this.#cut) return undefined;
    return { seconds: this.seconds, ...(this.#holds && { holds: true }), ...(run && { run }), ...(this.#cut && { cut: this.#cut }) };
  }

  /** Within what is configured now: what was cut stays so, and what was learned counts where nothing is written. */
  restore({ cut, holds, run, seconds }: BurstRecord): void {
    [this.#holds, this.#run, this.#cut] = [holds ?? false, run ?? null, cut ?? null];
    if (cut || !this.#isWritten) this.seconds = Math.min(Math.max(seconds, this.#least), this.#span.most);
  }
}

/**
 * Whether a reading is a continuous bucket's: what is spent of it takes as long to refill as the minute's rate needs. Null where rounding hides it; how much that is, ms. All that is free,
 * and the time until something ends: no bucket's.
 */
function continuous({ limit, remaining, resetMs }: LimitReading): { holds: boolean | null; roundingMs: number } {
  if (remaining === null || resetMs === null) return { holds: null, roundingMs: 0 };
  const unitMs = 60_000 / limit;
  const expected = (limit - remaining) * unitMs;
  const roundingMs = unitMs + ROUNDING.ms + expected * ROUNDING.part;
  if (Math.abs(resetMs - expected) > roundingMs) return { holds: false, roundingMs };
  return { holds: remaining < limit && expected >= ROUNDING.tellingMs ? true : null, roundingMs };
}

/** Whether enough is left, by every one of them, for a call that takes so much: for another one too, as what is counted differs by one. */
export function isEnough(told: readonly FullReading[], amount: number): boolean {
  return told.length > 0 && told.every(({ remaining }) => remaining >= amount * 2);
}
