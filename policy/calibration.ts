/**
 * How far estimates of waits are off, learned from waits that are over. An estimate knows who waits and how fast others come, but not who will come: jobs with
 * a head start, tenants that are quiet now, calls that cost more or less than expected.
 *
 * The median of log(truth / estimate) is followed step by step: each truth above it raises it, each other lowers it. p95 lies above the median by a multiple of
 * the mean miss. A wait longer than its p95 raises that multiple by a fraction of itself, each other lowers it by a small share of that fraction, so that in
 * the long run the right share of waits stays within p95, whatever the distribution (adaptive conformal inference: Gibbs & Candès, NeurIPS 2021). A wait is
 * compared with what its own job was told. Compared with what is known when the wait ends, a run of misses that were told together would count once (91 % of
 * waits within p95 over two hours, instead of 95 %).
 */
export type Calibration = {
  /** Log of the factor that the estimate is multiplied by. */
  readonly p50: number;
  /** Mean distance of the truth's log from `p50`. */
  readonly noise: number;
  /** How many times the noise p95 lies above `p50`. */
  readonly reach: number;
  /** The largest recent miss: it caps the margin, because no wait has been off by more. */
  readonly worst: number;
  /** Number of truths learned from. */
  readonly learned: number;
  /** Number of truths seen. */
  readonly seen: number;
};

/** Nothing learned yet: p50 is the estimate itself, p95 a quarter more. */
export const NAIVE: Calibration = { p50: 0, noise: Math.log(1.25) / 1.5, reach: 1.5, worst: 0.5, learned: 0, seen: 0 };

/** Added to both truth and estimate, ms: waits of a few seconds say little about a factor. */
const SOFTEN_MS = 2_000;
/**
 * Step of the median, in units of the noise: what an estimate cannot know changes slowly, and waits that end together say no more than one of them. A larger
 * step swings by more than it corrects.
 */
const STEP = 0.01;
/** `least`: least weight of a new truth in the noise; the first ones weigh more. `naive`: the initial noise weighs as much as this many truths. */
const SMOOTHING = { least: 0.003, naive: 10 };
/** A miss counts as at most this many times the noise. */
const CLIP = 4;
/**
 * Step of the reach, relative to the reach: one kind of load needs fifty times what another does. Waits come and go in generations of a few dozen, and a larger
 * step makes too much of each generation.
 */
const REACH_STEP = 0.05;
/**
 * Share of waits that should stay within p95: one in a hundred more than promised. When a change calls for a larger reach, all jobs that wait at that time miss
 * p95, and making up for it takes about twenty times as long. Until then, ln(reach / reach before) / step more waits have missed it than should. Where the
 * order changes once in two hours, that is 2 in 100.
 */
const AIM = 0.96;
/**
 * The largest miss counts half after log(1/2) / log(FORGETS) = 1,386 waits without another like it. The margin may exceed it by a twentieth, or no wait would
 * ever be told enough.
 */
const FORGETS = 0.9995;
const BEYOND_WORST = 1.05;
/** Bounds of the reach: no noise is so small or so large that it needs a reach outside them. */
const REACHES = { least: 0.05, most: 1_000 };
/** With fewer truths seen than this, nothing is known. */
export const ENOUGH = 16;
/**
 * Estimates given before this many truths were seen are not learned from: those for waits under way when the first wait ended knew no more than the first, and
 * arrivals had not been observed for long. When they were learned from too, everything that was told was off for five waits.
 */
export const TOLD_WELL = 64;
/** No estimate is more precise than this, ms: messages take time, and a window that opens starts its calls one after another. */
const GRAIN_MS = 250;
/** Bound of the log: a factor beyond e³ means that the pool stopped, not that the estimate was wrong. */
const BOUND = 3;

/**
 * Learns from a wait that is over. `told`: what was known when the estimate was given, perhaps long ago. `rawMs`: the estimate before any calibration.
 * `tookMs`: how long the wait took.
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

/** The estimate to tell, ms. */
export function calibrate(known: Calibration, rawMs: number): { p50: number; p95: number } {
  if (rawMs <= 0) return { p50: 0, p95: 0 };
  const by = (log: number) => Math.max(0, (rawMs + SOFTEN_MS) * Math.exp(log) - SOFTEN_MS);
  const middle = by(known.p50);
  return { p50: middle, p95: Math.max(middle + GRAIN_MS, by(known.p50 + marginOf(known))) };
}
