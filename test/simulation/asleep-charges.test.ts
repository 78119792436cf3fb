/** Law: what is decided between tenants does not depend on whether the coordinator slept, or was restarted, while calls were running. */
import { expect, it } from "vitest";
import { openWorld } from "./served.ts";

const R = 10_000;
/** A tick shorter than the time after which a quiet coordinator writes its order would hide the effect, because each tick ends in a turn. */
const TICK_MS = 6_000;
const loads = () => ({
  alice: { reserves: R, keeps: 40, callMs: 12_000, outcome: () => R / 4 },
  bob: { reserves: R, keeps: 40, callMs: 12_000, outcome: () => R },
});

it.each([false, true])(
  "calls longer than the sleep, of which one tenant's use a quarter: both are served alike in what they use (sleeps: %s)",
  (sleeps) => {
    const { ended, play } = openWorld({ rpm: 600, tpm: 200_000, concurrency: 1, ramp_tpm: null }, loads());
    play(100 * 12_000, { sleeps, tickMs: TICK_MS });
    const gap = Math.abs((ended.alice! * R) / 4 - ended.bob! * R);
    expect(gap).toBeLessThanOrEqual(2 * R);
  },
);

it.each([false, true])("what a flow has to get back stays within what it has under way (sleeps: %s)", (sleeps) => {
  const { desk, play } = openWorld({ rpm: 600, tpm: 200_000, concurrency: 1, ramp_tpm: null }, loads());
  play(100 * 12_000, { sleeps, tickMs: TICK_MS });
  const wholeCallMs = (R / 200_000) * 60_000;
  expect(desk.book.pools.get("p")!.order.lanes.get("alice")!.credit).toBeLessThanOrEqual(2 * wholeCallMs);
});

it.each([false, true])(
  "hundreds of calls under way, one tenant's use a quarter: both are served alike in what they use (restarts: %s)",
  (restarts) => {
    const all = loads();
    const { desk, ended, play } = openWorld({ rpm: 6_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null }, all);
    play(120_000);
    if (restarts) desk.restart();
    const before = { ...ended };
    play(120_000);
    const [alice, bob] = [ended.alice! - before.alice!, ended.bob! - before.bob!];
    // Calls that were running at the beginning or the end of the time differ by what fits in it.
    expect(Math.abs(alice / 4 - bob)).toBeLessThanOrEqual(20);
  },
);

it.each([
  [1, false],
  [1, true],
  [8, false],
  [8, true],
])(
  "one that sends its next job when its last has ended, whose calls use %i times what they reserve, is served no more than one that has a backlog (sleeps: %s)",
  (times, sleeps) => {
    const alice = { reserves: R, keeps: 0, callMs: 24_000, outcome: () => times * R };
    const bob = { reserves: R, keeps: 40, callMs: 12_000, outcome: () => R };
    const { desk, play, running, starts } = openWorld({ rpm: 60_000, tpm: 60_000_000, concurrency: 2, ramp_tpm: null }, { alice, bob });
    for (let tick = 0; tick < 400; tick++) {
      const waits = (desk.book.pools.get("p")!.order.lanes.get("alice")?.size ?? 0) > 0;
      alice.keeps = waits || running.some(({ tenant }) => tenant === "alice") ? 0 : 1;
      play(TICK_MS, { sleeps, tickMs: TICK_MS });
      alice.keeps = 0;
    }
    // Eight jobs' worth of hers may be running.
    expect(times * starts.alice!).toBeLessThanOrEqual(starts.bob! + 2 * times);
  },
);
