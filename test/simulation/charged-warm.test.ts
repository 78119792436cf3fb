/** Law: what a flow is overcharged while it competes with nobody is not taken from whoever comes later, even if others' calls have ended before. */
import { expect, it } from "vitest";
import { type Load, openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 60, ramp_tpm: null };
const LIKE: Load = { reserves: R, callMs: 30_000, keeps: 0, outcome: () => R / 4 };

/** How far bob falls behind alice, whose calls are like his, once those that spent a bucket at once have ended, in largest jobs. */
function behind(calls: number): number {
  const { desk, loads, ownerOf, play, starts } = openWorld(POOL, {
    alice: LIKE,
    bob: LIKE,
    zed: { ...LIKE, callMs: 1_000, outcome: () => R },
  });
  for (const { job } of desk.send("zed", R, calls)) ownerOf.set(job, "zed");
  play(600_000, { tickMs: 1_000 });
  loads.alice = { ...LIKE, keeps: 1_000 };
  play(40_000, { tickMs: 100 });
  loads.bob = { ...LIKE, keeps: 100 };
  play(100, { tickMs: 100 });
  const before = { alice: 0, bob: 0, ...starts };
  play(60_000, { tickMs: 100 });
  return (starts.alice! - before.alice - (starts.bob! - before.bob)) / 4;
}

it.each([0, 16])(
  "%i calls of a third ended ten minutes ago -> who comes to a flow like its own that spent a bucket at once has half of what starts",
  (calls) => {
    expect(Math.abs(behind(calls))).toBeLessThanOrEqual(4);
  },
);
