/**
 * Law: a tenant whose line runs empty again and again, because it sends its next jobs when the last have started or ended, has half of what is used while it
 * waits, beside one whose calls use far more than they reserve. A tenant that comes to one that was alone finds nothing owed.
 */
import { expect, it } from "vitest";
import { Random } from "./random.ts";
import { type Load, openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const BUCKET = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null };
const few = (concurrency: number) => ({ rpm: 60_000, tpm: 60_000_000, concurrency, ramp_tpm: null });

/** `sends`: how many jobs bob sends whenever none of his wait, or all of them have ended. */
type Case = {
  pool: object;
  sends: number;
  when: "started" | "ended";
  callMs: { alice: number; bob: number };
  tickMs: number;
  sleeps: boolean;
};

/**
 * Alice has a backlog of calls that use `times` times what they reserve; bob's line runs empty again and again. Returns what she uses for each unit that he
 * does, of what starts while both wait.
 */
function usedForBobs(times: number | ((random: Random) => number), { pool, sends, when, callMs, tickMs, sleeps }: Case): number {
  const random = new Random(1);
  const of = { calls: 0, used: 0 };
  const outcome = () => {
    const used = Math.round(R * (typeof times === "number" ? times : times(random)));
    of.calls++;
    of.used += used / R;
    return used;
  };
  const alice: Load = { reserves: R, keeps: 100, callMs: callMs.alice, outcome };
  const bob: Load = { reserves: R, keeps: 0, callMs: callMs.bob, outcome: () => R };
  const { desk, play, running, starts } = openWorld(pool, { alice, bob });
  Object.assign(starts, { alice: 0, bob: 0 });
  const waits = () => (desk.book.pools.get("p")!.order.lanes.get("bob")?.size ?? 0) > 0;
  const runs = () => when === "ended" && running.some(({ tenant }) => tenant === "bob");
  const beside = { alice: 0, bob: 0 };
  for (let tick = 0; tick < (400 * callMs.bob) / tickMs; tick++) {
    bob.keeps = waits() || runs() ? 0 : sends;
    const before = { ...starts };
    const waited = waits();
    play(tickMs, { sleeps, tickMs });
    bob.keeps = 0;
    // Until some of her calls have ended, nothing is known about them.
    if (!waited || !waits() || tick < (100 * callMs.bob) / tickMs) continue;
    beside.alice += starts.alice! - before.alice!;
    beside.bob += starts.bob! - before.bob!;
  }
  expect(beside.bob).toBeGreaterThan(100);
  return ((of.used / of.calls) * beside.alice) / beside.bob;
}

const busy = { pool: BUCKET, sends: 20, when: "ended", callMs: { alice: 10_000, bob: 1_000 }, tickMs: 50, sleeps: false } as const;
const quiet = { callMs: { alice: 24_000, bob: 12_000 }, tickMs: 6_000, sleeps: true } as const;

it.each<[string, number, Case]>([
  ["in a bucket", 8, busy],
  ["in a bucket", 11, busy],
  ["where the coordinator sleeps before each call that ends", 8, { ...quiet, pool: few(6), sends: 20, when: "started" }],
  ["where the coordinator sleeps before each call that ends", 20, { ...quiet, pool: few(6), sends: 20, when: "started" }],
  ["where the coordinator sleeps before each call that ends", 20, { ...quiet, pool: few(4), sends: 8, when: "ended" }],
])(
  "%s: a tenant's calls use %i times what they reserve -> another's line runs empty again and again, and he has half of what is used while both wait",
  (_, times, world) => {
    expect(usedForBobs(times, world)).toBeLessThanOrEqual(1.2);
  },
);

const WIDE = { rpm: 60_000, tpm: 600_000_000, ramp_tpm: null };

it.each<[string, Case]>([
  [
    "that sends twenty when its line is empty",
    { ...busy, pool: { ...WIDE, concurrency: 8 }, callMs: { alice: 1_000, bob: 1_000 }, when: "started" },
  ],
  ["that sends twenty when they have ended", { ...busy, pool: { ...WIDE, concurrency: 8 } }],
  ["beside which the coordinator sleeps", { ...quiet, pool: { ...WIDE, concurrency: 6 }, sends: 20, when: "started" }],
])(
  "one of ten of a tenant's calls uses 72 times what they reserve, the others hardly all -> another %s has half of what is used while both wait",
  (_, world) => {
    expect(usedForBobs((random) => (random.chance(1 / 10) ? 72 : 8 / 9), world)).toBeLessThanOrEqual(1.3);
  },
);

it("calls of one that was alone for long use eight times what they reserve -> who comes is served as much from then on, to four of these", () => {
  const TIMES = 8;
  const loads: Record<string, Load> = { alice: { reserves: R, keeps: 100, callMs: 10_000, outcome: () => TIMES * R } };
  const { play, starts } = openWorld(BUCKET, loads);
  play(600_000, { tickMs: 100 });
  starts.bob = 0;
  loads.bob = { reserves: R, keeps: 100, callMs: 10_000, outcome: () => R };
  play(100, { tickMs: 100 });
  const before = { ...starts };
  let most = 0;
  for (let second = 0; second < 300; second++) {
    play(1_000, { tickMs: 100 });
    most = Math.max(most, Math.abs(starts.bob! - before.bob! - TIMES * (starts.alice! - before.alice!)));
  }
  expect(most / TIMES).toBeLessThanOrEqual(4);
});

it("one whose calls used eight times what they reserve, and all of it from some time on, is behind by no more than what those under way were charged too much, and by nothing in the end", () => {
  let times = 8;
  const loads: Record<string, Load> = {
    alice: { reserves: R, keeps: 300, callMs: 30_000, outcome: () => times * R },
    bob: { reserves: R, keeps: 300, callMs: 30_000, outcome: () => R },
  };
  const { play, starts } = openWorld(BUCKET, loads);
  play(600_000, { tickMs: 100 });
  times = 1;
  const before = { ...starts };
  const behind = () => starts.bob! - before.bob! - (starts.alice! - before.alice!);
  let most = 0;
  for (let second = 0; second < 600; second++) {
    play(1_000, { tickMs: 100 });
    most = Math.max(most, behind());
  }
  // Her calls start as if they still used eight times as much: one start in nine, 67 of 600.
  expect(most).toBeLessThanOrEqual(67 * 7);
  // What the calls running before were overcharged is hers.
  expect(behind()).toBeLessThanOrEqual(0);
});
