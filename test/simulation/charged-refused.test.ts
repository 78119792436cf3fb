/** Law: a call that came to nothing has had its turn. It took all that it had reserved from the pool, because upstream counts what it refuses. */
import { expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null };
const RATE: Outcome = { kind: "rate_limited", retryAfterMs: null };
const KINDS: [string, Outcome][] = [
  ["for the rate", RATE],
  ["for want of capacity", { kind: "no_capacity", retryAfterMs: null }],
];

/** Three in four of alice's calls are refused; the others use `uses`. */
function play(refused: Outcome, uses: number) {
  const { play, starts } = openWorld(POOL, {
    alice: { reserves: R, keeps: 300, callMs: 1_000, outcome: (nth) => (nth <= 100 || nth % 4 === 0 ? uses : refused) },
    bob: { reserves: R, keeps: 300, callMs: 1_000, outcome: () => R },
  });
  play(120_000, { tickMs: 100 });
  const before = { ...starts };
  play(300_000, { tickMs: 100 });
  return { alice: starts.alice! - before.alice!, bob: starts.bob! - before.bob! };
}

it.each(KINDS)(
  "three of four of a tenant's calls are refused %s, and the fourth uses a quarter -> another has what its turns leave it",
  (_, refused) => {
    const { alice, bob } = play(refused, R / 4);
    // Of four of alice's calls, three take a turn each and one a quarter: 3.25 turns, so bob has 3.25 calls to her 4.
    expect(bob / alice).toBeGreaterThan(0.9 * (3.25 / 4));
  },
);

it("of what a pool starts no less is taken because the calls of the tenant that is refused for the rate use little", () => {
  const [all, quarter] = [play(RATE, R), play(RATE, R / 4)];
  expect(quarter.alice + quarter.bob).toBeGreaterThan(0.7 * (all.alice + all.bob));
});
