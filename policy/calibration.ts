/**
 * How far estimates of waits are off, learned from waits that are over. An estimate knows who waits, not who will come: jobs with a head start, tenants
 * that are quiet now, calls that cost other than was thought.
 *
 * Quantiles of the log of (truth / estimate), followed step by step: each truth beyond the quantile raises it, each other lowers it, in the
 * proportion in which they should come. In the long run that share is exact whatever the distribution, and when it changes
 * (adaptive conformal inference: Gibbs & Candès, NeurIPS 2021).
 */
export type Calibration = {
  /** Log of the factor that the estimate is multiplied by. */
  readonly p50: number;
  /** Mean distance of the truth from it. */
  readonly noise: number;
  /** How many times the noise the ninety-fifth percentile lies above it. */
  readonly reach: number;
  /** Truths seen. */
  readonly seen: number;
};

/** Nothing learned: the estimate stands, and a quarter more is allowed for. */
export const NAIVE: Calibration = { p50: 0, noise: Math.log(1.25) / 2.5, reach: 2.5, seen: 0 };

/** Waits below some seconds tell little of a factor: so much is added to both sides, ms. */
const SOFTEN_MS = 2_000;
/** Step of the middle, in units of the noise: small enough to stand still where the truth does, also where truths come by hundreds that are alike, as when a window opens; large enough to follow it. */
const STEP = 0.05;
/** Weight of a new truth in the noise. */
const SMOOTHING = 0.01;
/** Step of the reach. */
const REACH_STEP = 0.02;
/** A factor beyond e³ is a stop of the pool, not an error of the estimate. */
const BOUND = 3;

/**
 * Learns from a wait that is over. `told`: what was known when the estimate was given, perhaps long ago; `rawMs`: the estimate before any calibration;
 * `tookMs`: what the wait was.
 */
export function learn(known: Calibration, told: Calibration, rawMs: number, tookMs: number): Calibration {
  const truth = Math.min(BOUND, Math.max(-BOUND, Math.log((tookMs + SOFTEN_MS) / (rawMs + SOFTEN_MS))));
  const missed = truth - told.p50;
  return {
    p50: known.p50 + STEP * known.noise * (truth > known.p50 ? 0.5 : -0.5),
    noise: known.noise + SMOOTHING * (Math.abs(missed) - known.noise),
    reach: Math.max(0, known.reach + REACH_STEP * (missed > known.reach * known.noise ? 0.95 : -0.05)),
    seen: known.seen + 1,
  };
}

/** The estimate as it is told, ms. */
export function calibrate({ p50, noise, reach }: Calibration, rawMs: number): { p50: number; p95: number } {
  const by = (log: number) => Math.max(0, (rawMs + SOFTEN_MS) * Math.exp(log) - SOFTEN_MS);
  return rawMs <= 0 ? { p50: 0, p95: 0 } : { p50: by(p50), p95: by(p50 + reach * noise) };
}
