/** Law: if a tenant's calls come to nothing, its next one takes up to ten turns and no more (policy/vain.ts), whatever its calls used before. */
import { expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null };
const REFUSED: Outcome = { kind: "no_capacity", retryAfterMs: null };

/** How many calls another has for each call of a tenant whose first 600 used `uses` each, and none of whose calls is taken since. */
function others(uses: number): number {
  const like = { reserves: R, keeps: 300, callMs: 1_000 };
  const { play, starts } = openWorld(POOL, {
    alice: { ...like, outcome: (nth) => (nth <= 600 ? uses : REFUSED) },
    bob: { ...like, outcome: () => R },
  });
  play(360_000, { tickMs: 100 });
  const before = { ...starts };
  play(120_000, { tickMs: 100 });
  return (starts.bob! - before.bob!) / (starts.alice! - before.alice!);
}

it.each([1, 1 / 4, 1 / 50])(
  "a tenant's calls used %s of what they reserved, and are all refused since -> another has about ten calls for each of them",
  (part) => {
    const times = others(part * R);
    expect(times).toBeGreaterThan(9);
    expect(times).toBeLessThan(12);
  },
);
