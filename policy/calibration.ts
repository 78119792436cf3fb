/**
 * How far estimates of waits are off, learned from waits that are over. An estimate knows who waits and how fast others come, not who will come: jobs with a head start, tenants
 * that are quiet now, calls that cost other than was thought.
 *
 * Of the log of (truth / estimate) the middle is followed step by step: each truth beyond it raises it, each other lowers it. What p95 allows for beyond the middle is a multiple of the mean miss, followed in the same way, so
 * that in the long run the share that keeps within p95 is right whatever the distribution (adaptive conformal inference: Gibbs & Candès, NeurIPS 2021). It is too little where most waits are told to the percent and one
 * in seven ends a window later: no multiple reaches that (83 %). So where one in twenty of the last misses is far beyond it, that counts. Not wherever it is greater: of misses that go together for as long as a wait only a few are
 * independent, and the greater of the two allowed for 97 to 98 % where 95 was meant.
 */
export type Calibration = {
  /** Log of the factor that the estimate is multiplied by. */
  readonly p50: number;
  /** Mean distance of the truth from it. */
  readonly noise: number;
  /** How many times the noise the ninety-fifth percentile lies above it. */
  readonly reach: number;
  /** The last misses, the oldest first; and what one in twenty of them exceeds, once they are enough. */
  readonly misses: readonly number[];
  readonly beyond: number;
  /** Truths seen. */
  readonly seen: number;
};

/** Nothing learned: the estimate stands, and a quarter more is allowed for. */
export const NAIVE: Calibration = { p50: 0, noise: Math.log(1.25) / 1.5, reach: 1.5, misses: [], beyond: 0, seen: 0 };

/** Waits below some seconds tell little of a factor: so much is added to both sides, ms. */
const SOFTEN_MS = 2_000;
/** Step of the middle, in units of the noise: what an estimate cannot know changes slowly, and of waits that end together none tells more than one. A larger step swings by more than it corrects. */
const STEP = 0.01;
/** Weight of a new truth in the noise at the least; the first ones weigh more, and the naive noise as much as so many. */
const SMOOTHING = { least: 0.01, naive: 10 };
/** Of a miss no more counts than so many times the noise. */
const CLIP = 4;
/** Step of the reach. */
const REACH_STEP = 0.005;
/** Misses that are remembered: of some waits in a row. */
const MISSES = 192;
/** Until so many truths were seen, nothing is known. */
export const ENOUGH = 16;
/** What was told before so many were, is not learned from: those whose wait was under way when the first ended knew no more than these, and how the others come had not been seen for long. Learned from as well, it moved all that was told for five waits. */
export const TOLD_WELL = 64;
/** Beyond so many times what is allowed for otherwise, the last misses are no chance. */
const FAR = 2;
/** No estimate is better than this: messages are on their way, and a window that opens lets its calls go one after the other. ms. */
const GRAIN_MS = 250;
/** A factor beyond e³ is a stop of the pool, not an error of the estimate. */
const BOUND = 3;

/**
 * Learns from a wait that is over. `told`: what was known when the estimate was given, perhaps long ago; `rawMs`: the estimate before any calibration;
 * `tookMs`: what the wait was.
 */
export function learn(known: Calibration, told: Calibration, rawMs: number, tookMs: number): Calibration {
  const truth = Math.min(BOUND, Math.max(-BOUND, Math.log((tookMs + SOFTEN_MS) / (rawMs + SOFTEN_MS))));
  const seen = known.seen + 1;
  if (told.seen < TOLD_WELL) return { ...known, seen };
  const missed = truth - told.p50;
  const weight = Math.max(SMOOTHING.least, 1 / (known.misses.length + SMOOTHING.naive));
  const misses = [...known.misses.slice(known.misses.length < MISSES ? 0 : 1), missed];
  return {
    seen,
    p50: known.p50 + STEP * known.noise * (truth > known.p50 ? 0.5 : -0.5),
    noise: known.noise + weight * (Math.min(Math.abs(missed), CLIP * known.noise) - known.noise),
    reach: Math.max(0, known.reach + REACH_STEP * (missed > known.reach * known.noise ? 0.95 : -0.05)),
    misses,
    beyond: misses.length < ENOUGH ? 0 : ninetyFifth(misses),
  };
}

/** The estimate as it is told, ms. */
export function calibrate({ beyond, noise, p50, reach }: Calibration, rawMs: number): { p50: number; p95: number } {
  if (rawMs <= 0) return { p50: 0, p95: 0 };
  const by = (log: number) => Math.max(0, (rawMs + SOFTEN_MS) * Math.exp(log) - SOFTEN_MS);
  const middle = by(p50);
  const margin = beyond > FAR * reach * noise ? beyond : reach * noise;
  return { p50: middle, p95: Math.max(middle + GRAIN_MS, by(p50 + margin)) };
}

/** What one in twenty exceed, or the greatest. Only the greatest are put in order: it is asked for with each truth. */
function ninetyFifth(misses: readonly number[]): number {
  const count = Math.max(1, Math.floor(misses.length / 20));
  const greatest: number[] = [];
  for (const miss of misses) {
    if (greatest.length === count && miss <= greatest[0]!) continue;
    const at = greatest.findIndex((each) => each > miss);
    greatest.splice(at < 0 ? greatest.length : at, 0, miss);
    if (greatest.length > count) greatest.shift();
  }
  return Math.max(0, greatest[0]!);
}
