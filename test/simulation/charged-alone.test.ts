/**
 * Law: that nobody else waited for a moment, or that somebody waits for something else, changes nothing in what is decided between two who wait for the pool
 * again and again.
 */
import { expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { BATCH, keyOf } from "./desk.ts";
import { type Load, openWorld } from "./served.ts";

const R = 10_000;
const EIGHT = 8;

/** One call at a time. Bob sends eight small jobs as soon as his eight have ended; alice always has large ones waiting. */
function usedBeside(outcome: (nth: number) => number | Outcome, reserves: number): { alice: number; bob: number } {
  const used = { alice: 0, bob: 0 };
  let nth = 0;
  const bob: Load = { reserves: R / EIGHT, keeps: 0, callMs: 250, outcome: () => R / EIGHT };
  const alice: Load = {
    ...{ reserves, keeps: 100, callMs: 1_000 },
    outcome: () => {
      const said = outcome(nth++);
      used.alice += typeof said === "number" ? said / R : 1;
      return said;
    },
  };
  const { desk, ended, play, running } = openWorld({ rpm: 60_000, tpm: 60_000_000, concurrency: 1, ramp_tpm: null }, { alice, bob });
  play(120_000, { tickMs: 250 });
  used.alice = 0;
  const before = ended.bob ?? 0;
  for (let tick = 0; tick < 4_000; tick++) {
    const waits = (desk.book.pools.get("p")!.order.lanes.get("bob")?.size ?? 0) > 0;
    bob.keeps = waits || running.some(({ tenant }) => tenant === "bob") ? 0 : EIGHT;
    play(250, { tickMs: 250 });
    bob.keeps = 0;
  }
  used.bob = ((ended.bob ?? 0) - before) / EIGHT;
  return used;
}

it.each([
  ["use all", () => R, R],
  ["use eight times what they reserve", () => R, R / 8],
  ["use all and next to nothing by turns", (nth) => (nth % 2 ? R / 50 : R), R],
  ["used little forty times, and are cancelled since", (nth) => (nth < 40 ? R / 50 : { kind: "aborted" }), R],
] as [string, (nth: number) => number | Outcome, number][])(
  "one call at a time, a tenant's calls %s -> one that sends eight whenever its eight have ended is served as much",
  (_, outcome, reserves) => {
    const { alice, bob } = usedBeside(outcome, reserves);
    expect(alice / bob).toBeLessThanOrEqual(1.1);
  },
);

/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 60, ramp_tpm: null };
const LIKE: Load = { reserves: R, callMs: 30_000, keeps: 0, outcome: () => R / 4 };

/**
 * Bob comes to alice, whose calls are like his, when those that spent a bucket at once have ended. Returns how far behind he is after half a minute, in
 * largest jobs.
 */
function behind(others: (world: ReturnType<typeof openWorld>) => void): number {
  const world = openWorld(POOL, { alice: LIKE, bob: LIKE, zed: LIKE }, [keyOf("zed", { rpm: 1 })]);
  const { desk, loads, ownerOf, play, starts } = world;
  for (const { job } of desk.send("alice", R, 1_000)) ownerOf.set(job, "alice");
  loads.alice = { ...LIKE, keeps: 1_000 };
  others(world);
  play(40_000, { tickMs: 100 });
  loads.bob = { ...LIKE, keeps: 100 };
  play(100, { tickMs: 100 });
  const before = { alice: 0, bob: 0, ...starts };
  play(30_000, { tickMs: 100 });
  return (starts.alice! - before.alice - (starts.bob! - before.bob)) / 4;
}

const sends =
  (tenant: string, count: number, channel?: string) =>
  ({ desk, ownerOf }: ReturnType<typeof openWorld>) => {
    for (const { job } of desk.send(tenant, R, count, channel)) ownerOf.set(job, tenant);
  };

it.each([
  ["nobody", () => undefined],
  ["another tenant's batch", sends("zed", 5, BATCH)],
  ["the tenant's own batch", sends("alice", 5, BATCH)],
  ["one that waits for its own limit alone", sends("zed", 5)],
])("who comes to a flow that spent a bucket at once, where beside it waits %s: has half of what starts", (_, others) => {
  expect(Math.abs(behind(others))).toBeLessThanOrEqual(4);
});

it("a batch that comes to another that spent a bucket at once has half of what starts", () => {
  const world = openWorld(POOL, { alice: LIKE, bob: LIKE });
  const { play, starts } = world;
  sends("alice", 2_000, BATCH)(world);
  play(40_000, { tickMs: 100 });
  sends("bob", 500, BATCH)(world);
  play(100, { tickMs: 100 });
  const before = { alice: 0, bob: 0, ...starts };
  play(30_000, { tickMs: 100 });
  expect(Math.abs(starts.alice! - before.alice - (starts.bob! - before.bob)) / 4).toBeLessThanOrEqual(4);
});

it("who comes to a flow that spent a bucket at once, after another's one large job, when that has left: has half of what starts", () => {
  const LARGE = 300 * R;
  const world = openWorld(POOL, { alice: LIKE, bob: LIKE, zed: { ...LIKE, outcome: () => LARGE } });
  const { desk, loads, ownerOf, play, starts } = world;
  for (const { job } of desk.send("zed", LARGE)) ownerOf.set(job, "zed");
  loads.alice = { ...LIKE, keeps: 1_000 };
  sends("alice", 1_000)(world);
  play(40_000, { tickMs: 100 });
  loads.bob = { ...LIKE, keeps: 100 };
  play(100, { tickMs: 100 });
  const before = { alice: 0, bob: 0, ...starts };
  play(30_000, { tickMs: 100 });
  expect(Math.abs(starts.alice! - before.alice - (starts.bob! - before.bob)) / 4).toBeLessThanOrEqual(4);
});
