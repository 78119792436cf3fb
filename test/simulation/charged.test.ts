/**
 * Law: a tenant that comes and goes, cancels, is new, or changes what its calls use gets no more and no less than one that stays: a flow is charged at a start
 * what its calls use, and in the end what the call took.
 */
import { expect, it } from "vitest";
import { openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null };

it("beside a flow that uses little of what it reserves, one whose line runs empty at each start has no more than one that has a backlog", () => {
  const full = { reserves: R, callMs: 10_000, outcome: () => R };
  const { play, starts } = openWorld(POOL, {
    alice: { reserves: R, keeps: 100, callMs: 10_000, outcome: () => R / 50 },
    bob: { ...full, keeps: 1 },
    carol: { ...full, keeps: 100 },
  });
  play(60_000, { tickMs: 100 });
  const before = { ...starts };
  play(300_000, { tickMs: 100 });
  const [bob, carol] = [starts.bob! - before.bob!, starts.carol! - before.carol!];
  expect(Math.abs(bob - carol)).toBeLessThanOrEqual(4);
});

it.each([1, 4])(
  "beside a flow whose calls use %s times what they reserve, one whose line runs empty has no less than one that has a backlog",
  (times) => {
    const full = { reserves: R, callMs: 10_000, outcome: () => R };
    const { play, starts } = openWorld(POOL, {
      alice: { reserves: R, keeps: 100, callMs: 10_000, outcome: () => times * R },
      bob: { ...full, keeps: 1 },
      carol: { ...full, keeps: 100 },
    });
    play(60_000, { tickMs: 20 });
    const before = { ...starts };
    play(300_000, { tickMs: 20 });
    const [bob, carol] = [starts.bob! - before.bob!, starts.carol! - before.carol!];
    expect(bob).toBeGreaterThan(0.97 * carol);
  },
);

it("one whose first calls used little, and that cancels all others just before their end, has no more starts than one whose calls use all", () => {
  const { play, starts } = openWorld(POOL, {
    alice: { reserves: R, keeps: 100, callMs: 5_000, outcome: (nth) => (nth <= 20 ? R / 50 : { kind: "aborted" }) },
    bob: { reserves: R, keeps: 100, callMs: 5_000, outcome: () => R },
  });
  play(60_000, { tickMs: 100 });
  const before = { ...starts };
  play(300_000, { tickMs: 100 });
  const [alice, bob] = [starts.alice! - before.alice!, starts.bob! - before.bob!];
  expect(Math.abs(alice - bob)).toBeLessThanOrEqual(4);
});

it("one who comes to a flow whose calls are like its own has half from the first on, though nobody knows yet what its calls use", () => {
  const like = { reserves: R, callMs: 30_000, outcome: () => R / 4 };
  const loads: Parameters<typeof openWorld>[1] = { alice: { ...like, keeps: 100 } };
  const { play, starts } = openWorld(POOL, loads);
  play(120_000, { tickMs: 100 });
  loads.bob = { ...like, keeps: 100 };
  play(100, { tickMs: 100 });
  const before = { ...starts };
  let worst = 0;
  for (let second = 0; second < 90; second++) {
    play(1_000, { tickMs: 100 });
    worst = Math.max(worst, Math.abs(starts.alice! - before.alice! - (starts.bob! - (before.bob ?? 0))));
  }
  // Each used a quarter of the largest.
  expect(worst / 4).toBeLessThanOrEqual(4);
});

it("one whose calls used a quarter, and all from some time on, is ahead by no more than what it was not charged of those under way, and by nothing in the end", () => {
  let littles = Number.POSITIVE_INFINITY;
  const { play, starts } = openWorld(POOL, {
    alice: { reserves: R, keeps: 100, callMs: 30_000, outcome: (nth) => (nth <= littles ? R / 4 : R) },
    bob: { reserves: R, keeps: 100, callMs: 30_000, outcome: () => R },
  });
  play(120_000, { tickMs: 100 });
  littles = starts.alice!;
  const before = { ...starts };
  const ahead = () => starts.alice! - before.alice! - (starts.bob! - before.bob!);
  let most = 0;
  for (let second = 0; second < 360; second++) {
    play(1_000, { tickMs: 100 });
    most = Math.max(most, ahead());
  }
  // 300 are under way.
  expect(most).toBeLessThanOrEqual(300 * (3 / 4));
  // Those that were running before were each charged slightly more than the quarter: she gets that back.
  expect(ahead()).toBeLessThanOrEqual(20);
});

it.each([0, 40])("calls of one that comes to a pool where nobody else waits take nothing from who comes %s s later", (laterS) => {
  const like = { reserves: R, callMs: 30_000, outcome: () => R / 4 };
  const loads: Parameters<typeof openWorld>[1] = { alice: { ...like, keeps: 1_000 } };
  const { play, starts } = openWorld({ ...POOL, burst_seconds: 60 }, loads);
  play(1 + laterS * 1_000, { tickMs: 100 });
  loads.bob = { ...like, keeps: 100 };
  play(100, { tickMs: 100 });
  const before = { alice: 0, bob: 0, ...starts };
  play(30_000, { tickMs: 100 });
  // Each used a quarter of the largest.
  expect(Math.abs(starts.alice! - before.alice - (starts.bob! - before.bob)) / 4).toBeLessThanOrEqual(2);
});
