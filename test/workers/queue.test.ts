import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PoolState, QueueState } from "../../schemas/queue.ts";
import { advanceTo, call, coordinator, crash, ended, job, submit, until } from "../support/service.ts";
import { completion, EPOCH, refusal, resetWorld, script, silence, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const queue = async () => (await call<QueueState>("GET", "/v1/queue", undefined, { key: "sk-dev-operator" })).body;
const pool = async (id = "gpt-5-mini") => (await queue()).pools.find((each) => each.id === id)!;
const counts = ({ depth, in_flight, scheduled }: PoolState) => ({ depth, in_flight, scheduled });

/** Uses up gpt-5-mini's minute: whatever comes after that waits. */
async function fill(): Promise<number> {
  world.upstream = silence();
  await call("POST", "/v1/jobs", { jobs: [...Array(520)].map(() => job({ channel: "fill" })) });
  const { in_flight, depth } = await pool();
  expect(in_flight + depth).toBe(520);
  expect(depth).toBeGreaterThan(0);
  return depth;
}

describe("the queue, counted", () => {
  it("is empty before anything came, with the limits as configured", async () => {
    const state = await queue();
    expect(state.object).toBe("queue");
    expect(state.pools.map(({ id }) => id).sort()).toEqual(["default", "gpt-5", "gpt-5-mini", "gpt-5-nano"]);
    expect(await pool()).toMatchObject({
      ...{ depth: 0, in_flight: 0, scheduled: 0, oldest_wait_seconds: 0, paused: false, tenants: [], priorities: [] },
      limits: { rpm: 500, tpm: 500_000, rpd: null, tpd: null, concurrency: null },
      used: { requests: 0, tokens: 0 },
    });
  });

  it("by pool: what runs and what is scheduled", async () => {
    world.upstream = script().answer;
    for (const [model, count] of [
      ["gpt-5-mini", 3],
      ["gpt-5-nano", 2],
      ["other", 1],
    ] as const) {
      for (let n = 0; n < count; n++) await submit({}, { model });
      for (let n = 0; n <= count; n++) await submit({ not_before: EPOCH / 1_000 + 60 }, { model });
    }
    const { pools } = await queue();
    expect(pools.map((each) => [each.id, counts(each)]).sort()).toEqual([
      ["default", { depth: 0, in_flight: 1, scheduled: 2 }],
      ["gpt-5", { depth: 0, in_flight: 0, scheduled: 0 }],
      ["gpt-5-mini", { depth: 0, in_flight: 3, scheduled: 4 }],
      ["gpt-5-nano", { depth: 0, in_flight: 2, scheduled: 3 }],
    ]);
    expect((await pool()).used.requests).toBe(3);
  });

  it("by tenant and priority: what waits", async () => {
    const waiting = await fill();
    for (const [priority, key] of [
      [5, "sk-dev-bob"],
      [5, "sk-dev-alice"],
      [-3, "sk-dev-bob"],
      [0, "sk-dev-bob"],
    ] as const) {
      await submit({ priority }, {}, key);
    }
    const state = await pool();
    expect(state.depth).toBe(waiting + 4);
    const none = { depth: 0, tokens: 0 };
    expect(state.tenants).toEqual([
      {
        id: "alice",
        depth: waiting + 1,
        in_flight: 520 - waiting,
        weight: 1,
        oldest_wait_seconds: 0,
        tokens: 19 * (waiting + 1),
        batches: none,
      },
      { id: "bob", depth: 3, in_flight: 0, weight: 1, oldest_wait_seconds: 0, tokens: 57, batches: none },
    ]);
    expect(state.priorities).toEqual([
      { priority: 5, depth: 2 },
      { priority: 0, depth: waiting + 1 },
      { priority: -3, depth: 1 },
    ]);
  });

  it("follows a job from scheduled to its end", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit({ not_before: EPOCH / 1_000 + 60 });
    expect(counts(await pool())).toEqual({ depth: 0, in_flight: 0, scheduled: 1 });
    await advanceTo(EPOCH + 60_000);
    expect(counts(await pool())).toEqual({ depth: 0, in_flight: 1, scheduled: 0 });
    upstream.finish();
    await ended(id);
    await until(async () => (await pool()).in_flight === 0);
    expect(counts(await pool())).toEqual({ depth: 0, in_flight: 0, scheduled: 0 });
    expect((await pool()).tenants).toEqual([]);
  });

  it("a job between two attempts is queued; one that failed is nowhere", async () => {
    world.upstream = () => refusal(503, "busy");
    await submit();
    await until(async () => (await pool()).depth === 1);
    world.upstream = () => refusal(400, "no");
    const { id } = await submit();
    await ended(id);
    await until(async () => (await pool()).in_flight === 0);
    expect(counts(await pool())).toEqual({ depth: 1, in_flight: 0, scheduled: 0 });
  });

  it("a cancelled job is gone at once, whether it waited or was scheduled", async () => {
    const waiting = await fill();
    const jobs = [await submit(), await submit({ not_before: EPOCH / 1_000 + 60 })];
    expect(counts(await pool())).toMatchObject({ depth: waiting + 1, scheduled: 1 });
    for (const { id } of jobs) await call("POST", `/v1/jobs/${id}/cancel`);
    await until(async () => (await pool()).scheduled === 0);
    expect(counts(await pool())).toMatchObject({ depth: waiting, scheduled: 0 });
  });

  it("the oldest wait goes by the clock, for the pool and for each tenant", async () => {
    await fill();
    // Lets the coordinator finish its turn first: nothing here may start while the clock moves.
    await coordinator().ping();
    world.now += 1;
    await submit({}, {}, "sk-dev-bob");
    world.now += 10;
    const state = await pool();
    expect(state.oldest_wait_seconds).toBe(0.011);
    expect(state.tenants.map(({ id, oldest_wait_seconds }) => [id, oldest_wait_seconds])).toEqual([
      ["alice", 0.011],
      ["bob", 0.01],
    ]);
  });

  it("a scheduled job waits from when it may start", async () => {
    await fill();
    await submit({ not_before: EPOCH / 1_000 + 0.02 }, {}, "sk-dev-bob");
    await advanceTo(EPOCH + 20);
    world.now = EPOCH + 30;
    const bob = (await pool()).tenants.find(({ id }) => id === "bob")!;
    expect(bob).toMatchObject({ depth: 1, oldest_wait_seconds: 0.01 });
  });

  it("counts the same after a crash", async () => {
    const waiting = await fill();
    await submit({ not_before: EPOCH / 1_000 + 1e6 });
    const before = await pool();
    await crash();
    const after = await pool();
    expect(after.depth).toBe(waiting);
    expect([after.tenants.map(({ depth }) => depth), after.priorities]).toEqual([
      before.tenants.map(({ depth }) => depth),
      before.priorities,
    ]);
  });

  it("what is spent is told in whole requests and tokens: one that is not all back yet is spent, and not free", async () => {
    world.upstream = silence();
    for (let n = 0; n < 3; n++) await submit();
    const { tokens } = (await pool()).used;
    // A request is back in 120 ms, a token in 0.12 ms; of the 491⅔ that may be spent at once, the two thirds are never shown.
    for (const [ms, used, free] of [
      [0, { requests: 3, tokens }, { requests: 488, tokens: Math.floor(491_666 + 2 / 3 - tokens) }],
      [1, { requests: 3, tokens: tokens - 8 }, { requests: 488, tokens: 491_675 - tokens }],
      [119, { requests: 3, tokens: 0 }, { requests: 489, tokens: 491_666 }],
      [120, { requests: 2, tokens: 0 }, { requests: 489, tokens: 491_666 }],
      [299, { requests: 1, tokens: 0 }, { requests: 491, tokens: 491_666 }],
    ] as const) {
      world.now = EPOCH + ms;
      expect(await pool()).toMatchObject({ used, free });
    }
  });

  it("what ran and ended frees nothing of the minute that is spent", async () => {
    world.upstream = () => completion("ok");
    const jobs = await Promise.all([0, 1, 2].map(() => submit()));
    await Promise.all(jobs.map(({ id }) => ended(id)));
    expect((await pool()).used.requests).toBe(3);
    await advanceTo(EPOCH + 60_000);
    expect((await pool()).used).toEqual({ requests: 0, tokens: 0 });
  });
});
