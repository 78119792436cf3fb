/** Law: what a call used is charged in the end, even to a flow that has paused by then. */
import { expect, it } from "vitest";
import { LEVERS } from "../../durable-objects/coordinator/condition/levers.ts";
import { type Load, openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null };
const LARGE: Load = { reserves: R, keeps: 0, callMs: 60_000, outcome: () => R };
const CYCLES = 3;

/**
 * Alice and bob send for 30 s of every 240 s, and their calls use everything and end when both have stopped. Carol sends all the time, or in between. In
 * between alice sends `tiny` calls that reserve a hundredth and use nothing. Returns how many alice has started for each that bob did.
 */
function timesBob(tiny: number, carol: "always" | "between"): number {
  const loads: Record<string, Load> = { alice: { ...LARGE }, bob: { ...LARGE }, carol: { ...LARGE, callMs: 5_000 } };
  const { desk, ownerOf, play, starts } = openWorld(POOL, loads);
  const giveUp = () =>
    desk.turn((book, now) => {
      for (const entry of [...book.entries.values()]) if (entry.row.phase === "waiting") book.remove(entry, now);
    });
  const had = { alice: 0, bob: 0 };
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const before = { alice: 0, bob: 0, ...starts };
    Object.assign(loads.alice!, LARGE, { keeps: 300 });
    loads.bob!.keeps = 300;
    loads.carol!.keeps = carol === "always" ? 300 : 0;
    giveUp();
    play(30_000, { tickMs: 500 });
    had.alice += starts.alice! - before.alice;
    had.bob += starts.bob! - before.bob;
    Object.assign(loads.alice!, { keeps: 0 });
    loads.bob!.keeps = 0;
    loads.carol!.keeps = 300;
    giveUp();
    play(70_000, { tickMs: 500 });
    Object.assign(loads.alice!, { callMs: 100, outcome: () => 0 });
    for (const { job } of desk.send("alice", R / 100, tiny)) ownerOf.set(job, "alice");
    play(140_000, { tickMs: 500 });
  }
  return had.alice / had.bob;
}

it.each([
  [0, "always"],
  [1_500, "always"],
  [1_500, "between"],
] as [number, "always" | "between"][])(
  "two send at the same times, and one of them %i tiny calls that use nothing before, while a third sends %s: both have as many",
  (tiny, carol) => {
    expect(timesBob(tiny, carol)).toBeLessThan(1.3);
  },
);

it("calls of a tenant that is paused use a quarter of what they were charged -> when it goes on it is not ahead by what others were served meanwhile, and by what it gets back as well", () => {
  const alice: Load = { ...LARGE, keeps: 100, callMs: 40_000, outcome: () => R / 4 };
  const { desk, play, starts } = openWorld(POOL, { alice, bob: { ...alice, outcome: () => R } });
  const scope = { kind: "tenant" as const, id: "alice" };
  play(39_000, { tickMs: 100 });
  desk.turn((book, now) => LEVERS.pause(book, scope, now));
  play(90_000, { tickMs: 100 });
  desk.turn((book, now) => LEVERS.resume(book, scope, now));
  const before = { ...starts };
  let most = 0;
  for (let second = 0; second < 180; second++) {
    play(1_000, { tickMs: 100 });
    most = Math.max(most, (starts.alice! - before.alice!) / 4 - (starts.bob! - before.bob!));
  }
  expect(most).toBeLessThanOrEqual(4);
});
