/** Law: a tenant that uses as much as another is served as much, whatever a third one's calls use, and whether or not it is reported what a call used. */
import { expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { type Load, openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null };
const UNTOLD: Outcome = { kind: "committed", usage: null };
const LIKE: Load = { reserves: R, keeps: 700, callMs: 30_000, outcome: () => R };

it.each([
  ["in a bucket", {}],
  ["in windows that go at once", { window_seconds: 60, burst_seconds: 60 }],
])(
  "%s: a tenant of whose calls nothing is told is never farther ahead of one whose calls use all than a few jobs, beside a third whose use little",
  (_, more) => {
    const { play, starts } = openWorld(
      { ...POOL, ...more },
      {
        alice: { ...LIKE, outcome: () => R / 50 },
        bob: { ...LIKE, outcome: () => UNTOLD },
        carol: LIKE,
      },
    );
    play(300_000, { tickMs: 100 });
    let most = 0;
    for (let second = 0; second < 300; second++) {
      play(1_000, { tickMs: 100 });
      most = Math.max(most, starts.bob! - starts.carol!);
    }
    expect(most).toBeLessThanOrEqual(8);
  },
);

it.each([1 / 50, 1, 4])(
  "a new tenant whose calls use all is served as one whose do is that was there before, beside a third whose use %s times what they reserve",
  (times) => {
    const loads: Record<string, Load> = { alice: { ...LIKE, outcome: () => times * R }, carol: LIKE };
    const { play, starts } = openWorld(POOL, loads);
    play(240_000, { tickMs: 100 });
    loads.bob = LIKE;
    play(100, { tickMs: 100 });
    const before = { carol: 0, bob: 0, ...starts };
    let most = 0;
    for (let second = 0; second < 60; second++) {
      play(1_000, { tickMs: 100 });
      most = Math.max(most, Math.abs(starts.bob! - before.bob - (starts.carol! - before.carol)));
    }
    expect(most).toBeLessThanOrEqual(8);
  },
);
