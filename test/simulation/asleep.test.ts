/**
 * Law: while jobs wait, and nobody has stopped their pool, the next call comes soon, whatever upstream's limits do and however often the coordinator sleeps.
 */
import { expect, it } from "vitest";
import { Night } from "./asleep.ts";

const NIGHT_MS = 1_500_000;
/** The minute that upstream asks for, a tenth more, and the difference between its clock and ours. */
const SOON_MS = 75_000;

const seeds = [1, 2, 3];
const pools = { windows: { window_seconds: 60 }, buckets: { burst_seconds: 60 }, learned: {} };

it.each(seeds.flatMap((seed) => Object.entries(pools).map(([name, pool]) => ({ seed, name, pool }))))(
  "an upstream that refuses, tells little and changes its limits is called again soon: $name, seed $seed",
  ({ pool, seed }) => {
    const night = new Night(seed, pool);
    night.pass(NIGHT_MS);
    expect(night.gap.ms).toBeLessThan(SOON_MS);
    expect(night.sleeps).toBeGreaterThan(10);
    expect(night.calls).toBeGreaterThan(2_000);
  },
);
