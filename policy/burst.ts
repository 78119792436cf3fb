/**
 * How much of a minute's rate may be spent at once: little, until upstream's headers show a continuous bucket of the whole minute; then what that bucket was
 * seen to hold, and a little more. Laws: only what was seen is relied on, so that an upstream whose headers claim a larger bucket than it has refuses part of a
 * second's calls, not a minute's; and a burst that a refusal disproved is not tried again for minutes, twice as long after each further refusal. All in seconds
 * of the rate.
 */
import type { FullReading, LimitReading } from "../schemas/rate.ts";
import type { Kind } from "./levels.ts";

/** While nothing is known. OpenAI may count by the second ("1 request per second for a limit of 60 a minute"); Azure does. */
export const SMALL_SECONDS = 1;
/** A minute's bucket. */
export const WHOLE_SECONDS = 60;

/**
 * How far to go beyond what was seen. Each step takes one call's round trip, and a step too far costs this part of the bucket in refusals. `step`: anything
 * smaller is skipped.
 */
const GROWTH = { factor: 1.25, seconds: 0.25, step: 1.1 };
/**
 * This many readings in a row decide, if they span at least this long and this many times what rounding hides. The same header can hold the time until a window
 * ends, which falls by a second each second: it looks like a bucket's for at most twice what rounding hides.
 */
const EVIDENCE = { readings: 3, ms: 2_000, roundings: 4 };
/** Headers are in whole units and milliseconds, rounded in any direction. Below `tellingMs` they say nothing but rounding. */
const ROUNDING = { ms: 1, part: 0.02, tellingMs: 5 };
/** How long a cut burst stays cut: after the first cut, and at most after many. */
const REST = { leastMs: 600_000, mostMs: 86_400_000 };

/** Consecutive readings that all show a continuous bucket, or all do not. */
type Run = { holds: boolean; since: number; at: number; readings: number };
/**
 * `holds`: a continuous bucket was shown. `run`: readings that say the opposite, not yet enough of them. `cut`: when a refusal disproved the burst, and for how
 * long more is not tried, ms.
 */
export type BurstRecord = { seconds: number; holds?: boolean; run?: Run; cut?: { at: number; ms: number } };
/** A change of how much may be spent at once. */
export type BurstChange = { burst: Kind; from: number; to: number };
/** `start`: as configured, or while nothing is known. `most`: what it can grow to. `heldBack`: the part that is not spent, because calls may arrive late. */
export type Span = { start: number; most: number; heldBack: number };

export class Burst {
  seconds: number;
  readonly #span: Span;
  #holds = false;
  #run: Run | null = null;
  #cut: { at: number; ms: number } | null = null;
  /** Whether more is known than was last stored. */
  isNotable = false;

  constructor(span: Span) {
    this.seconds = span.start;
    this.#span = span;
  }

  /** Whether the burst is configured: then it needs no evidence. */
  get #isWritten(): boolean {
    return this.#span.most === this.#span.start;
  }

  get #least(): number {
    return Math.min(SMALL_SECONDS, this.#span.start);
  }

  /** What can be spent at once while nothing is known. */
  get small(): number {
    return Math.max(this.#least - this.#span.heldBack, this.#least / 2);
  }

  /** An answer reported a limit that is not a day's: a minute's, or one of no known period. */
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

  /** Upstream was seen to let through this much at once. `unit`: the smallest possible increase. */
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

  /** Upstream refused a call although it had reported enough left. Ignored for a call that started before the last cut. */
  belied(startedAt: number, now: number): void {
    if (this.seconds <= this.#least || startedAt <= (this.#cut?.at ?? Number.NEGATIVE_INFINITY)) return;
    this.seconds = Math.max(this.#least, this.seconds / 2);
    this.#cut = { at: now, ms: this.#cut ? Math.min(this.#cut.ms * 2, REST.mostMs) : REST.leastMs };
  }

  reset(): void {
    this.seconds = this.#span.start;
    [this.#holds, this.#run, this.#cut] = [false, null, null];
  }

  /** Undefined if nothing differs from a fresh start. */
  record(): BurstRecord | undefined {
    this.isNotable = false;
    const run = this.#run?.holds === this.#holds ? null : this.#run;
    if (this.seconds === this.#span.start && !this.#holds && !run && !this.#cut) return undefined;
    return { seconds: this.seconds, ...(this.#holds && { holds: true }), ...(run && { run }), ...(this.#cut && { cut: this.#cut }) };
  }

  /** Within the present configuration: a cut stays in force, and what was learned counts unless the burst is configured. */
  restore({ cut, holds, run, seconds }: BurstRecord): void {
    [this.#holds, this.#run, this.#cut] = [holds ?? false, run ?? null, cut ?? null];
    if (cut || !this.#isWritten) this.seconds = Math.min(Math.max(seconds, this.#least), this.#span.most);
  }
}

/**
 * Whether a reading is a continuous bucket's: what is spent takes as long to refill as it would at the minute's rate. Null where rounding hides it;
 * `roundingMs` is how much rounding can hide, ms. A reading with everything free and time left until a reset is not a bucket's.
 */
function continuous({ limit, remaining, resetMs }: LimitReading): { holds: boolean | null; roundingMs: number } {
  if (remaining === null || resetMs === null) return { holds: null, roundingMs: 0 };
  const unitMs = 60_000 / limit;
  const expected = (limit - remaining) * unitMs;
  const roundingMs = unitMs + ROUNDING.ms + expected * ROUNDING.part;
  if (Math.abs(resetMs - expected) > roundingMs) return { holds: false, roundingMs };
  return { holds: remaining < limit && expected >= ROUNDING.tellingMs ? true : null, roundingMs };
}

/** Whether every reading shows enough left for a call of this amount, and for one more such call, because counts differ by one. */
export function isEnough(told: readonly FullReading[], amount: number): boolean {
  return told.length > 0 && told.every(({ remaining }) => remaining >= amount * 2);
}
