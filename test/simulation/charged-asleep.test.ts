/** Law: how often the coordinator forgets what is not written makes no difference to who is served. */
import { expect, it } from "vitest";
import { type Load, openWorld } from "./served.ts";

const R = 10_000;
const EIGHT = 8;

/**
 * One call at a time. Bob sends eight small jobs as soon as his eight have ended; alice always has large ones waiting, three in four of which use next to
 * nothing.
 */
function usedBeside(sleeps: boolean): number {
  let used = 0;
  let nth = 0;
  const bob: Load = { reserves: R / EIGHT, keeps: 0, callMs: 12_000, outcome: () => R / EIGHT };
  const alice: Load = {
    ...{ reserves: R, keeps: 20, callMs: 12_000 },
    outcome: () => {
      const said = nth++ % 4 ? R / 50 : R;
      used += said / R;
      return said;
    },
  };
  const { desk, ended, play, running } = openWorld({ rpm: 60_000, tpm: 60_000_000, concurrency: 1, ramp_tpm: null }, { alice, bob });
  const go = (ticks: number) => {
    for (let tick = 0; tick < ticks; tick++) {
      const waits = (desk.book.pools.get("p")!.order.lanes.get("bob")?.size ?? 0) > 0;
      bob.keeps = waits || running.some(({ tenant }) => tenant === "bob") ? 0 : EIGHT;
      play(12_000, { tickMs: 6_000, sleeps });
      bob.keeps = 0;
    }
  };
  go(100);
  const before = { used, bob: ended.bob ?? 0 };
  go(800);
  return (used - before.used) / (((ended.bob ?? 0) - before.bob) / EIGHT);
}

it("of one whose calls use little and whose rival comes and goes, the share is the same where the coordinator sleeps before each call that ends", () => {
  const [awake, asleep] = [usedBeside(false), usedBeside(true)];
  expect(asleep / awake).toBeGreaterThan(0.9);
});
