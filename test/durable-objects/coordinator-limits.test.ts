import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Outcome, Verdict } from "../../schemas/rpc.ts";
import { committed, enqueue, fatal, playAll, retryable, settle, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, pool, ticketRows, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const pools = (all: Record<string, unknown>) => JSON.stringify(all);
const roomy = { rpm: 500, tpm: 500_000 };
const keyOf = (limits: Record<string, unknown>) => JSON.stringify([{ key_sha256: "a".repeat(64), tenant: "alice", ...limits }]);
const codes = (answers: Awaited<ReturnType<typeof enqueue>>) => answers.map((each) => (each.ok ? "in" : each.problem.code));

describe("what is refused", () => {
  it("more than a tenant may have queued, until one has ended; a known ticket is not counted twice", async () => {
    world.env.SLUICE_KEYS = keyOf({ max_queued: 2 });
    const { starts } = playAll();
    expect(
      codes(
        await enqueue([
          ticket("a", { offered: true }),
          ticket("b", { notBefore: EPOCH + 60_000, offered: true }),
          ticket("c", { offered: true }),
        ]),
      ),
    ).toEqual(["in", "in", "queue_full"]);
    expect(codes(await enqueue([ticket("a", { offered: true }), ticket("c", { offered: true })]))).toEqual(["in", "queue_full"]);
    expect(await enqueue([ticket("c", { offered: true })])).toMatchObject([
      { ok: false, problem: { status: 429, type: "rate_limit_error" } },
    ]);
    expect(codes(await enqueue([ticket("d", { offered: true })], { tenant: "bob", channel: "c" }))).toEqual(["in"]);
    await kill(coordinator());
    expect(codes(await enqueue([ticket("c", { offered: true })]))).toEqual(["queue_full"]);
    await coordinator().cancel(["b"]);
    expect(codes(await enqueue([ticket("c", { offered: true }), ticket("e", { offered: true })]))).toEqual(["in", "queue_full"]);
    expect(starts.map(({ job }) => job)).not.toContain("e");
  });

  it("a place is free again however a job ends", async () => {
    world.env.SLUICE_KEYS = keyOf({ max_queued: 1 });
    playAll();
    const ends: [string, Outcome][] = [
      ["a", committed],
      ["b", fatal],
      ["c", { kind: "void" }],
      ["d", { kind: "aborted" }],
    ];
    for (const [job, outcome] of ends) {
      expect(codes(await enqueue([ticket(job, { offered: true })]))).toEqual(["in"]);
      expect(codes(await enqueue([ticket("next", { offered: true })]))).toEqual(["queue_full"]);
      await settle(job, 1, outcome);
    }
    expect(codes(await enqueue([ticket("next", { offered: true })]))).toEqual(["in"]);
  });

  it("one whose client was told that it is accepted is never refused for want of room", async () => {
    world.env.SLUICE_KEYS = keyOf({ max_queued: 1 });
    playAll();
    expect(codes(await enqueue([ticket("a", { offered: true }), ticket("b"), ticket("c", { offered: true })]))).toEqual([
      "in",
      "in",
      "queue_full",
    ]);
  });

  it("a pool that is not there, and what no bucket could ever hold", async () => {
    world.env.SLUICE_KEYS = keyOf({ tpm: 1_000 });
    const tickets = [ticket("a", { pool: "gone" }), ticket("b", { tokens: 500_001 }), ticket("c", { tokens: 1_001 })];
    expect(codes(await enqueue(tickets))).toEqual(["unknown_pool", "reservation_exceeds_budget", "reservation_exceeds_budget"]);
    expect(await ticketRows()).toBe(0);
  });
});

describe("a pool that was taken out of the settings", () => {
  it.each([
    ["default", { default: roomy, other: roomy }, "default"],
    ["no default", { other: roomy }, "other"],
  ])("%s: its tickets go on in another, waiting, scheduled and running ones", async (_, after, heir) => {
    world.env.SLUICE_POOLS = pools({ ...after, old: { ...roomy, concurrency: 1 } });
    const { starts } = playAll();
    // Ten tickets that wait together share a row; the first runs.
    const waiting = [...Array(10)].map((_, n) => ticket(`w${n}`, { pool: "old" }));
    await enqueue([...waiting, ticket("s", { pool: "old", notBefore: EPOCH + 60_000 })]);
    expect(await pool("old")).toMatchObject({ in_flight: 1, depth: 9, scheduled: 1 });
    world.env.SLUICE_POOLS = pools(after);
    await kill(coordinator());
    await advanceTo(EPOCH + 60_000);
    await until(() => new Set(starts.map(({ job }) => job)).size === 11);
    const { pools: states } = await coordinator().inspect();
    expect(states.map(({ id }) => id)).not.toContain("old");
    expect(states.find(({ id }) => id === heir)).toMatchObject({ depth: 0 });
  });
});

describe("429", () => {
  const rateLimited = (retryAfterMs: number | null): Outcome => ({ kind: "rate_limited", retryAfterMs });

  it("the whole pool is silent for two seconds at the most, no other is; who was told more waits for it; it was a wait and no attempt", async () => {
    const { starts, verdicts } = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, rateLimited(20_000));
    await enqueue([ticket("b"), ticket("n", { pool: "gpt-5-nano" })]);
    await until(() => starts.length === 2);
    expect(starts.map(({ job }) => job)).toEqual(["a", "n"]);
    await advanceTo(EPOCH + 1_999);
    expect(await pool()).toMatchObject({ depth: 2, in_flight: 0 });
    await advanceTo(EPOCH + 2_000);
    await until(() => starts.length === 3);
    await settle("b", 1, committed);
    // Jitter is a tenth at most; these dice give half of that.
    await advanceTo(EPOCH + 20_999);
    expect(await pool()).toMatchObject({ in_flight: 0 });
    await advanceTo(EPOCH + 21_000);
    await until(() => starts.length === 4);
    expect(starts.slice(2)).toMatchObject([
      { job: "b", attempt: 1, waits: 0 },
      { job: "a", attempt: 2, waits: 1, unknown: 0 },
    ]);
    expect(verdicts).toEqual([]);
  });

  it("of a second or two: all keep their places", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, rateLimited(1_000));
    await enqueue([ticket("b")]);
    await advanceTo(EPOCH + 1_049);
    expect(await pool()).toMatchObject({ depth: 2, in_flight: 0 });
    await advanceTo(EPOCH + 1_050);
    await until(() => starts.length === 3);
    expect(starts.map(({ job }) => job)).toEqual(["a", "a", "b"]);
  });

  it("without a time: a short silence", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, rateLimited(null));
    await advanceTo(EPOCH + 2_099);
    expect(starts).toHaveLength(1);
    await advanceTo(EPOCH + 2_100);
    await until(() => starts.length === 2);
  });

  it("the silence outlives the coordinator", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, rateLimited(20_000));
    await kill(coordinator());
    await enqueue([ticket("b")]);
    expect(await pool()).toMatchObject({ depth: 2, in_flight: 0 });
    await advanceTo(EPOCH + 2_000);
    await until(() => starts.length === 2);
    await advanceTo(EPOCH + 20_999);
    expect(starts).toHaveLength(2);
    await advanceTo(EPOCH + 21_000);
    await until(() => starts.length === 3);
  });
});

describe("failures", () => {
  it("twelve attempts, waits not counted: failed, with a dead letter that outlives the coordinator", async () => {
    const { starts, verdicts, verdictsOn } = playAll();
    await enqueue([ticket("a")]);
    for (let attempt = 1; attempt <= 13; attempt++) {
      await until(() => starts.length === attempt);
      const wait = attempt === 5;
      await settle("a", attempt, wait ? { kind: "rate_limited", retryAfterMs: null } : retryable(attempt === 7));
      if (attempt < 13) await advanceTo(world.now + 60_000);
    }
    await until(() => verdictsOn("a").includes("failed"));
    expect(starts).toHaveLength(13);
    expect(starts[12]).toMatchObject({ attempt: 13, waits: 1, unknown: 1 });
    expect(verdictsOn("a")).toEqual([...Array(11).fill("retrying"), "failed"]);
    expect(verdicts.at(-1)).toMatchObject({ attempts: 12, unknown: 1, problem: { code: "broken" } });
    await kill(coordinator());
    expect(await coordinator().deadLetters(null, 10)).toMatchObject([
      { job: "a", tenant: "alice", pool: "gpt-5-mini", attempts: 12, code: "broken", message: "upstream broke" },
    ]);
    await until(async () => (await ticketRows()) === 0);
  });

  it("dead letters are paged, newest first", async () => {
    playAll();
    for (const job of ["a", "b", "c"]) {
      await enqueue([ticket(job)]);
      await settle(job, 1, fatal);
    }
    const page = await coordinator().deadLetters(null, 2);
    expect(page.map(({ job }) => job)).toEqual(["c", "b"]);
    expect((await coordinator().deadLetters(page[1]!.id, 2)).map(({ job }) => job)).toEqual(["a"]);
  });

  it("a backoff grows, and Retry-After is its least", async () => {
    const { starts, verdicts } = playAll();
    await enqueue([ticket("a")]);
    const waits: number[] = [];
    for (const [failed, retryAfterMs] of [null, null, null, 9_000].entries()) {
      await settle("a", failed + 1, { ...retryable(), retryAfterMs } as Outcome);
      await until(() => verdicts.length === failed + 1);
      const { retryAt } = verdicts[failed] as Extract<Verdict, { kind: "retrying" }>;
      waits.push(retryAt - world.now);
      await advanceTo(retryAt - 1);
      expect(await pool()).toMatchObject({ depth: 1, in_flight: 0 });
      await advanceTo(retryAt);
      await until(() => starts.length === failed + 2);
    }
    // These dice give half of the bound: of 1, 2, 4 and 8 s.
    expect(waits).toEqual([500, 1_000, 2_000, 13_000]);
  });
});

describe("the budget across a crash", () => {
  it("a tenant's own is no more forgotten than the pool's, what its calls used beyond their reservation neither", async () => {
    world.env.SLUICE_KEYS = keyOf({ tpm: 900 });
    const { starts } = playAll();
    await enqueue([ticket("a", { tokens: 300 }), ticket("b", { tokens: 100 })]);
    await until(() => starts.length === 2);
    await settle("b", 1, { kind: "committed", usage: { prompt_tokens: 100, completion_tokens: 250, total_tokens: 350 } });
    await kill(coordinator());
    await enqueue([ticket("c", { tokens: 600 })]);
    await enqueue([ticket("other", { tokens: 600 })], { tenant: "bob", channel: "c" });
    await until(() => starts.length === 3);
    expect(starts.map(({ job }) => job)).toEqual(["a", "b", "other"]);
    // What is missing refills, and the record was ahead by five seconds at most.
    await advanceTo(EPOCH + 24_000);
    expect(starts.length).toBe(3);
    await advanceTo(EPOCH + 30_000);
    await until(() => starts.length === 4);
  });

  it("no interval sees more than burst and rate allow, and a crash costs at most five seconds of rate", async () => {
    // One request a second; sixty at once.
    world.env.SLUICE_POOLS = pools({ "gpt-5-mini": { models: [], rpm: 60, tpm: 60_000 } });
    const { starts } = playAll();
    await enqueue([...Array(200)].map((_, n) => ticket(`j${n}`, { tokens: n % 3 ? 100 : 1_900 })));
    let crashes = 0;
    let settled = 0;
    /** Completes what was started, before the clock moves on. */
    const quiet = () =>
      until(async () => {
        for (; settled < starts.length; settled++) await settle(starts[settled]!.job, starts[settled]!.attempt, committed);
        return (await pool()).in_flight === 0;
      });
    await quiet();
    // Clock steps and crash points come from a small generator, so the seed determines the whole run.
    let seed = 20_261_126;
    const dice = () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed / 2 ** 32;
    };
    for (let turn = 0; turn < 60; turn++) {
      await advanceTo(world.now + Math.ceil(dice() * 3_000));
      await quiet();
      if (dice() < 0.2) {
        const { used } = await pool();
        await kill(coordinator());
        crashes++;
        const restored = (await pool()).used;
        expect(restored.requests).toBeGreaterThanOrEqual(used.requests);
        expect(restored.tokens).toBeGreaterThanOrEqual(used.tokens);
      }
    }
    expect(crashes).toBeGreaterThan(5);
    const tokensOf = ({ job }: { job: string }) => (Number(job.slice(1)) % 3 ? 100 : 1_900);
    for (let from = 0; from < starts.length; from++) {
      let tokens = 0;
      for (let to = from; to < starts.length; to++) {
        tokens += tokensOf(starts[to]!);
        const seconds = (starts[to]!.at - starts[from]!.at) / 1_000;
        expect(to - from + 1).toBeLessThanOrEqual(60 + seconds + 1e-6);
        expect(tokens).toBeLessThanOrEqual((60 + seconds) * 1_000 + 1e-6);
      }
    }
    // In the end requests are the tighter limit: a job has 700 tokens on average. One second is given up for transit.
    const elapsed = (starts.at(-1)!.at - EPOCH) / 1_000;
    expect(starts.length).toBeLessThan(200);
    expect(starts.length).toBeGreaterThanOrEqual(59 + elapsed - 5 * crashes - 2);
  });
});
