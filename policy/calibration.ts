/**
 * How far estimates of waits are off, learned from waits that are over. An estimate knows who waits and how fast others come, not who will come: jobs with a head start, tenants
 * that are quiet now, calls that cost other than was thought.
 *
 * Of the log of (truth / estimate) the middle is followed step by step: each truth beyond it raises it, each other lowers it. What p95 allows for beyond the middle is a multiple of the mean miss. A wait that was told too
 * short makes that multiple greater by a part of itself, each other less by a small share of that part, so that in the long run the share that keeps within p95 is right whatever the distribution (adaptive conformal
 * inference: Gibbs & Candès, NeurIPS 2021). It is held against what it had been told itself: held against what is known by then, a run of misses, which are told together, would be counted once (91 % of waits within
 * p95 over two hours, where 95 were meant).
 */
export type Calibration = {
  /** Log of the factor that the estimate is multiplied by. */
  readonly p50: number;
  /** Mean distance of the truth from it. */
  readonly noise: number;
  /** How many times the noise the ninety-fifth percentile lies above it. */
  readonly reach: number;
  /** The greatest miss of late: what waits have never been off by is not allowed for. */
  readonly worst: number;
  /** Truths learned from. */
  readonly learned: number;
  /** Truths seen. */
  readonly seen: number;
};

/** Nothing learned: the estimate stands, and a quarter more is allowed for. */
export const NAIVE: Calibration = { p50: 0, noise: Math.log(1.25) / 1.5, reach: 1.5, worst: 0.5, learned: 0, seen: 0 };

/** Waits below some seconds tell little of a factor: so much is added to both sides, ms. */
const SOFTEN_MS = 2_000;
/** Step of the middle, in units of the noise: what an estimate cannot know changes slowly, and of waits that end together none tells more than one. A larger step swings by more than it corrects. */
const STEP = 0.01;
/** Weight of a new truth in the noise at the least; the first ones weigh more, and the naive noise as much as so many. */
const SMOOTHING = { least: 0.003, naive: 10 };
/** Of a miss no more counts than so many times the noise. */
const CLIP = 4;
/** Step of the reach, of which it changes by a part: what one kind of load needs is fifty times what another does. Waits come and go in generations of some dozens: a larger one makes too much of each. */
const REACH_STEP = 0.05;
/**
 * So many are to keep within p95: one in a hundred more than is told. A change that asks for a greater reach is missed by all who wait at that time, and made up for in some twenty times as long: until then
 * ln(reach / reach before) / step more have missed than should. Where the order changes once in two hours that is 2 in 100.
 */
const AIM = 0.96;
/** After so many waits without its like a greatest miss counts half: log(1/2) / log(FORGETS) = 1,386. A twentieth more than it is allowed for, or none would ever be told enough. */
const FORGETS = 0.9995;
const BEYOND_WORST = 1.05;
/** No noise is small or great enough for more. */
const REACHES = { least: 0.05, most: 1_000 };
/** Until so many truths were seen, nothing is known. */
export const ENOUGH = 16;
/** What was told before so many were, is not learned from: those whose wait was under way when the first ended knew no more than these, and how the others come had not been seen for long. Learned from as well, it moved all that was told for five waits. */
export const TOLD_WELL = 64;
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
  const learned = known.learned + 1;
  const weight = Math.max(SMOOTHING.least, 1 / (known.learned + SMOOTHING.naive));
  const step = REACH_STEP * (missed > marginOf(told) ? AIM : AIM - 1);
  return {
    seen,
    learned,
    worst: Math.max(missed, known.worst * FORGETS),
    p50: known.p50 + STEP * known.noise * (truth > known.p50 ? 0.5 : -0.5),
    noise: known.noise + weight * (Math.min(Math.abs(missed), CLIP * known.noise) - known.noise),
    reach: Math.min(REACHES.most, Math.max(REACHES.least, known.reach * Math.exp(step))),
  };
}

function marginOf({ noise, reach, worst }: Calibration): number {
  return Math.min(reach * noise, worst * BEYOND_WORST);
}

/** The estimate as it is told, ms. */
export function calibrate(known: Calibration, rawMs: number): { p50: number; p95: number } {
  if (rawMs <= 0) return { p50: 0, p95: 0 };
  const by = (log: number) => Math.max(0, (rawMs + SOFTEN_MS) * Math.exp(log) - SOFTEN_MS);
  const middle = by(known.p50);
  return { p50: middle, p95: Math.max(middle + GRAIN_MS, by(known.p50 + marginOf(known))) };
}
