/** The probe of a pool that has stopped: what counts as an answer to it, and what does not. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { committed, enqueue, passesTo, playAll, player, problem, settle, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, pool, submit, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { completion, EPOCH, refusal, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const limited = (retryAfterMs: number | null = null): Outcome => ({ kind: "rate_limited", retryAfterMs });
const halted: Outcome = { kind: "halted", reason: "billing", retryAfterMs: null, problem };
const tickets = (count: number, name = "j") => Array.from({ length: count }, (_, n) => ticket(`${name}${n}`));

describe("a probe", () => {
  it("that is refused for the rate does not keep a bill's halt, either: others become probes, and find that it is paid", async () => {
    const played = playAll();
    await enqueue([...tickets(1, "bad"), ...tickets(10)]);
    let heard = 0;
    let taken = 0;
    for (; taken < 10 && world.now < EPOCH + 7_200_000; await advanceTo(world.now + 5_000)) {
      for (; heard < played.starts.length; heard++) {
        const { attempt, job } = played.starts[heard]!;
        const paid = world.now >= EPOCH + 600_000;
        await settle(job, attempt, paid ? (job === "bad0" ? limited() : committed) : halted);
        if (paid && job !== "bad0") taken++;
      }
    }
    expect(taken).toBe(10);
  }, 60_000);

  it("that finds no capacity is an answer: a bill's halt is not asked by one job after the other, and an outage is over", async () => {
    const full: Outcome = { kind: "no_capacity", retryAfterMs: null };
    const down: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem, upstream: true };
    const played = playAll();
    await enqueue(tickets(20));
    for (let n = 0; n < 20; n++) await settle(`j${n}`, 1, n < 5 ? halted : full);
    await enqueue(tickets(20, "k"));
    const before = played.starts.length;
    expect((await player(played)(EPOCH + 300_000, () => full)).refused).toBeLessThan(before + 12);
    await coordinator().pull("resume", { kind: "all" });
    await enqueue(tickets(20, "l"));
    await until(() => played.jobs().includes("l19"));
    for (let n = 0; n < 20; n++) await settle(`l${n}`, 1, down);
    expect((await pool()).condition.state).toBe("open");
    const probes = played.starts.length;
    await advanceTo(world.now + 2_000);
    const { attempt, job } = await until(() => played.starts.length > probes && played.starts.at(-1)!);
    await settle(job, attempt, full);
    expect((await pool()).condition.state).toBe("normal");
  }, 60_000);

  it("whose headers are there lets its pool run, however long its answer takes", async () => {
    const played = playAll();
    await enqueue(tickets(1));
    await settle("j0", 1, halted);
    await enqueue(tickets(3, "k"));
    await passesTo(EPOCH + 30_000);
    await until(() => played.starts.length === 2);
    const { attempt, job, probe } = played.starts[1]!;
    expect(probe).toBe(true);
    const [place] = await coordinator().locate([job]);
    await coordinator().proven("disp-elsewhere", job, attempt);
    expect(played.starts).toHaveLength(2);
    await coordinator().proven(place!.held!.dispatcher, job, attempt);
    await until(() => played.starts.length === 5);
    expect(played.starts.slice(2).map((each) => each.probe)).toEqual([undefined, undefined, undefined]);
    expect(await pool()).toMatchObject({ in_flight: 4, condition: { state: "normal" } });
  });

  it.each([
    [2, false],
    [3, true],
  ])(
    "%i jobs that fail whenever they are called do not keep a pool open for ever (the coordinator dies now and then: %s)",
    async (count, dies) => {
      const played = playAll();
      played.held = [];
      await enqueue([...tickets(count, "bad"), ...tickets(30)]);
      const down: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem, upstream: true };
      let heard = 0;
      let taken = 0;
      for (; taken < 30 && world.now < EPOCH + 1_800_000; await advanceTo(world.now + 1_000)) {
        if (dies && world.now % 15_000 === 0) await kill(coordinator());
        for (; heard < played.starts.length; heard++) {
          const { attempt, job } = played.starts[heard]!;
          const fails = job.startsWith("bad") || world.now < EPOCH + 60_000;
          await settle(job, attempt, fails ? down : committed);
          if (!fails) taken++;
        }
      }
      expect(taken).toBeGreaterThanOrEqual(30);
    },
    60_000,
  );

  it("whose headers tell a lower limit: these are heard before the pool that it lets run, though its answer goes on", async () => {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 600, tpm: 600_000 } });
    const upstream = script();
    world.upstream = (called) => {
      if (world.calls.length === 1) return refusal(429, "insufficient_quota");
      if (world.calls.length > 2) return completion("after it");
      const told = new Response(upstream.answer(called).body, { headers: { "content-type": "text/event-stream" } });
      const lower = { "x-ratelimit-limit-requests": "20", "x-ratelimit-remaining-requests": "19", "x-ratelimit-reset-requests": "3s" };
      for (const [name, value] of Object.entries(lower)) told.headers.set(name, value);
      return told;
    };
    await submit();
    await until(async () => (await pool()).condition.state === "halted");
    for (let job = 0; job < 40; job++) await submit();
    await advanceTo(EPOCH + 31_000);
    await until(() => world.calls.length === 2);
    upstream.say("begun");
    await until(async () => (await pool()).condition.state !== "halted");
    expect((await pool()).depth).toBeGreaterThan(20);
    upstream.finish();
  });
});
