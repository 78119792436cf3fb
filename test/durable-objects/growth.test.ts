/** How fast a pool may grow, and how it comes back after a `slow_down`: the test plays mailboxes and dispatchers. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Outcome, Ticket } from "../../schemas/rpc.ts";
import { alarm, committed, enqueue, playAll, settle, ticket } from "../support/desk.ts";
import { receive } from "../support/receiver.ts";
import { advanceTo, coordinator, ended, inside, pool, submit, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const past = (seconds: number) => EPOCH + seconds * 1_000;
const condition = async (id?: string) => (await pool(id)).condition;
const jobsAfter = (played: ReturnType<typeof playAll>, count: number) => until(() => played.starts.length >= count && played.jobs());

describe("the ramp", () => {
  it("holds back a burst after idleness where the limit is far above a million input tokens a minute, and says so", async () => {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 10_000, tpm: 40_000_000 } });
    const played = playAll();
    await enqueue(Array.from({ length: 100 }, (_, n) => ticket(`g${n}`, { tokens: 100_000 })));
    expect(await pool()).toMatchObject({ in_flight: 5, depth: 95 });
    const [place] = await coordinator().locate(["g99"]);
    expect(place!.eta).toMatchObject({ limited_by: "ramp", p50: 570 });
    for (let second = 1; second <= 60; second++) await advanceTo(past(second));
    expect(await jobsAfter(played, 15)).toHaveLength(15);
  });

  describe("through restarts", () => {
    /** Half of the ramp's level has started, and a prompt of two fifths waits. */
    async function started() {
      world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 10_000, tpm: 40_000_000 } });
      const played = playAll();
      await enqueue(Array.from({ length: 5 }, (_, n) => ticket(`s${n}`, { tokens: 100_000 })));
      for (let n = 0; n < 5; n++) await settle(`s${n}`, 1, committed);
      await enqueue([ticket("large", { tokens: 400_000 })]);
      return played;
    }

    it("what started before one is not there again after it", async () => {
      const played = await started();
      await kill(coordinator());
      expect(await pool()).toMatchObject({ in_flight: 0, depth: 1 });
      await advanceTo(past(20));
      expect(played.starts).toHaveLength(5);
    });

    it("a prompt that waits for longer than the coordinator stays awake is let go, in whichever life", async () => {
      const played = await started();
      // This makes the coordinator write everything that it writes about a pool.
      await coordinator().pull("pause", { kind: "pool", id: "gpt-5-mini" });
      await coordinator().pull("resume", { kind: "pool", id: "gpt-5-mini" });
      for (let life = 0; life < 6 && played.starts.length === 5; life++) {
        const at = (await alarm())!;
        await kill(coordinator());
        await advanceTo(at);
      }
      expect((await jobsAfter(played, 6)).at(-1)).toBe("large");
      expect(played.starts.at(-1)!.at).toBeGreaterThanOrEqual(past(24));
      expect(played.starts.at(-1)!.at).toBeLessThanOrEqual(past(60));
    });
  });
});

describe("slow_down", () => {
  const slowed: Outcome = { kind: "slow_down", retryAfterMs: 1_000 };

  /** Uses twenty of sixty requests a minute. */
  async function twenty(limits: object = {}) {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 60, tpm: 500_000, ...limits } });
    const played = playAll();
    await enqueue(Array.from({ length: 20 }, (_, n) => ticket(`j${n}`)));
    await jobsAfter(played, 20);
    return played;
  }

  it("after a restart -> a cut to half of what was used before it, and none more for calls from before it", async () => {
    await twenty();
    await kill(coordinator());
    await settle("j0", 1, slowed);
    expect((await condition()).share).toBe(0.166);
    world.now += 1_000;
    await kill(coordinator());
    await settle("j1", 1, slowed);
    expect((await condition()).share).toBeCloseTo(1 / 6, 2);
  });

  it("of a pool that has a limit of a day as well -> a cut to half of what it used of the minute's, not of the day's", async () => {
    const played = await twenty({ rpd: 1_000 });
    await settle("j0", 1, slowed);
    expect((await condition()).share).toBeCloseTo(1 / 6);
    await enqueue(Array.from({ length: 5 }, (_, n) => ticket(`k${n}`)));
    for (let second = 1; second <= 30; second++) await advanceTo(past(second));
    expect(await jobsAfter(played, 25)).toHaveLength(25);
  });

  it("a call that began after the cut, and after a restart -> another", async () => {
    const played = await twenty();
    await settle("j0", 1, slowed);
    await kill(coordinator());
    await advanceTo(past(2));
    await advanceTo(past(10));
    await jobsAfter(played, 21);
    await settle("j0", 2, slowed);
    expect((await condition()).share).toBeCloseTo(1 / 12, 2);
  });

  it("to all that is called, in spite of the cut -> three calls a minute, and an alarm, through a restart; once some are taken, all go on", async () => {
    world.env.SLUICE_ALERT_URL = "https://alarm.example.com/hook";
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 6_000, tpm: 6_000_000 } });
    const received = receive();
    const played = playAll();
    played.held = [];
    let heard = 0;
    /** Ends each call as soon as it starts; returns how many there were. */
    const play = async (until: number, outcome: Outcome) => {
      const before = heard;
      for (; world.now < until; await advanceTo(world.now + 500)) {
        for (; heard < played.starts.length; heard++) await settle(played.starts[heard]!.job, played.starts[heard]!.attempt, outcome);
      }
      return heard - before;
    };
    await enqueue(Array.from({ length: 200 }, (_, n) => ticket(`j${n}`)));
    expect(await play(past(120), slowed)).toBeLessThan(200 + 40);
    expect(received).toEqual([]);
    expect(await play(past(300), slowed)).toBeLessThan(12);
    await kill(coordinator());
    expect(await condition()).toMatchObject({ state: "slowed", reason: "slow_down", code: "slow_down" });
    expect((await condition()).next_probe_at).toBeGreaterThan(past(280) / 1_000);
    expect(await play(past(360), slowed)).toBeLessThan(6);
    expect(received.map(({ body }) => JSON.parse(body))).toMatchObject([{ event: "pool_halted", reason: "slow_down", code: "slow_down" }]);
    expect(await play(past(480), committed)).toBe(200);
  }, 60_000);

  it("that asks for an hour of silence -> it is shown until when (ten minutes at the most), and an alarm is raised; when calls are taken after it, that is told too", async () => {
    world.env.SLUICE_ALERT_URL = "https://alarm.example.com/hook";
    const received = receive();
    const played = await twenty();
    await settle("j0", 1, { kind: "slow_down", retryAfterMs: 3_600_000 });
    await until(() => received.length === 1);
    expect(JSON.parse(received[0]!.body)).toMatchObject({ event: "pool_halted", reason: "slow_down", code: "slow_down" });
    expect(await condition()).toMatchObject({ state: "slowed", reason: "slow_down", next_probe_at: past(630) / 1_000 });
    await advanceTo(past(629));
    await kill(coordinator());
    expect(await condition()).toMatchObject({ state: "slowed", reason: "slow_down" });
    expect(played.starts).toHaveLength(20);
    let heard = 20;
    await enqueue(Array.from({ length: 40 }, (_, n) => ticket(`k${n}`)));
    for (; world.now < past(1_800); await advanceTo(world.now + 1_000)) {
      for (; heard < played.starts.length; heard++) await settle(played.starts[heard]!.job, played.starts[heard]!.attempt, committed);
    }
    await until(() => received.length === 2);
    expect(JSON.parse(received[1]!.body)).toMatchObject({ event: "pool_resumed" });
  }, 60_000);

  it("that asks for half a minute -> it is shown, and no alarm", async () => {
    world.env.SLUICE_ALERT_URL = "https://alarm.example.com/hook";
    const received = receive();
    await twenty();
    await settle("j0", 1, { kind: "slow_down", retryAfterMs: 30_000 });
    expect(await condition()).toMatchObject({ state: "slowed", reason: "slow_down", next_probe_at: past(31.5) / 1_000 });
    expect(received).toEqual([]);
  });

  it("an operator who resumes the pool lifts the cut, for good", async () => {
    await twenty();
    await settle("j0", 1, slowed);
    await coordinator().pull("resume", { kind: "pool", id: "gpt-5-mini" });
    expect(await condition()).toMatchObject({ state: "normal", share: 1 });
    await kill(coordinator());
    expect(await condition()).toMatchObject({ state: "normal", share: 1 });
  });

  it("what a pool uses is written as it changes by much, not with each start", async () => {
    const played = await twenty();
    const written = async () => {
      const rows = await inside(coordinator(), (_, state) =>
        state.storage.sql.exec<{ state: string }>("SELECT state FROM conditions").toArray(),
      );
      return rows.map(({ state }) => (JSON.parse(state) as { use: { ms: number } }).use.ms);
    };
    expect(await written()).toEqual([20_000]);
    await enqueue([ticket("a")]);
    await jobsAfter(played, 21);
    expect(await written()).toEqual([20_000]);
    await enqueue(Array.from({ length: 25 }, (_, n) => ticket(`k${n}`)));
    await jobsAfter(played, 46);
    expect(await written()).toEqual([46_000]);
  });

  describe("to one pool, while others of the account are at work", () => {
    const nano = { pool: "gpt-5-nano" };
    const shares = async () => Promise.all(["gpt-5-mini", "gpt-5-nano", "default"].map(async (id) => (await condition(id)).share));

    /** Of sixty requests a minute each, uses twenty in one pool, ten in another, none in the third. */
    async function three() {
      const models = (id: string) => ({ models: [`${id}*`], rpm: 60, tpm: 500_000 });
      const pools = { "gpt-5-mini": models("gpt-5-mini"), "gpt-5-nano": models("gpt-5-nano"), default: { rpm: 60, tpm: 500_000 } };
      world.env.SLUICE_POOLS = JSON.stringify(pools);
      const played = playAll();
      await enqueue(Array.from({ length: 20 }, (_, n) => ticket(`j${n}`)));
      await enqueue(Array.from({ length: 10 }, (_, n) => ticket(`n${n}`, nano)));
      await jobsAfter(played, 30);
      return played;
    }

    it("-> each is cut to half of what it used, is told of by itself, and comes back by itself, after a restart too", async () => {
      const played = await three();
      const warned = vi.spyOn(console, "warn");
      await settle("j0", 1, slowed);
      const cuts = [1 / 6, 1 / 12, 1 / 20];
      for (const [place, share] of (await shares()).entries()) expect(share).toBeCloseTo(cuts[place]!);
      const told = warned.mock.calls.flatMap(([line]) => (/"pool_slowed"/.test(line) ? [JSON.parse(line)] : []));
      expect(told.map(({ pool }) => pool).sort()).toEqual(["default", "gpt-5-mini", "gpt-5-nano"]);
      await kill(coordinator());
      // A call that was in flight in another pool brings no news.
      await settle("n0", 1, slowed);
      for (const [place, share] of (await shares()).entries()) expect(share).toBeCloseTo(cuts[place]!, 2);
      expect(warned.mock.calls.filter(([line]) => /"pool_slowed"/.test(line))).toHaveLength(3);
      // One call in twelve seconds, although the budget would allow all of them.
      await enqueue(Array.from({ length: 10 }, (_, n) => ticket(`m${n}`, nano)));
      for (let second = 1; second <= 60; second++) await advanceTo(past(second));
      const started = played.jobs().filter((job) => /^m|n0/.test(job)).length - 1;
      expect(started).toBeGreaterThanOrEqual(4);
      expect(started).toBeLessThanOrEqual(7);
      await advanceTo(past(4_500));
      expect(await shares()).toEqual([1, expect.closeTo(1.5 ** 5 / 12), expect.closeTo(1.5 ** 5 / 20)]);
    });

    it("in spite of its cut -> it alone is cut again: what the others may, their own calls are told; a quarter of an hour later, all are", async () => {
      const played = await three();
      await settle("j0", 1, slowed);
      for (let second = 1; second <= 10; second++) await advanceTo(past(second));
      await jobsAfter(played, 31);
      await settle("j0", 2, slowed);
      const [mini, ...others] = await shares();
      expect(mini).toBeCloseTo(1 / 12, 2);
      expect(others).toEqual([expect.closeTo(1 / 12, 2), expect.closeTo(1 / 20, 2)]);
      await advanceTo(past(1_000));
      await jobsAfter(played, 32);
      expect((await shares())[2]).toBeCloseTo(0.05 * 1.5 ** (1_000 / 900));
      await settle("j0", 3, slowed);
      expect((await shares())[2]).toBeCloseTo(1 / 20);
    });

    it("-> an operator lifts one pool's, or all of them", async () => {
      await three();
      await settle("j0", 1, slowed);
      await coordinator().pull("resume", { kind: "pool", id: "gpt-5-nano" });
      expect(await shares()).toEqual([expect.closeTo(1 / 6), 1, expect.closeTo(1 / 20)]);
      await coordinator().pull("resume", { kind: "all" });
      expect(await shares()).toEqual([1, 1, 1]);
    });
  });

  it("-> one cut for all that was under way, and a slow way back that outlives the coordinator", async () => {
    const played = await twenty();
    for (let n = 0; n < 20; n++) await settle(`j${n}`, 1, slowed);
    const { share, state } = await condition();
    expect(state).toBe("slowed");
    expect(share).toBeCloseTo(1 / 6);
    expect(await pool()).toMatchObject({ paused: false });
    await kill(coordinator());
    expect((await condition()).share).toBeCloseTo(1 / 6);
    // One call in six seconds, although the budget would allow all of them.
    await advanceTo(past(2));
    await advanceTo(past(60));
    for (let second = 61; second <= 90; second++) await advanceTo(past(second));
    const started = played.starts.filter(({ at }) => at > past(60)).length;
    expect(started).toBeGreaterThanOrEqual(4);
    expect(started).toBeLessThanOrEqual(7);
    await advanceTo(past(5_400));
    expect(await condition()).toMatchObject({ state: "normal", share: 1 });
  });
});

describe("what the ramp charges a job with", () => {
  const configure = () => {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 10_000, tpm: 40_000_000 } });
  };
  const usage = (prompt_tokens: number) => ({ prompt_tokens, completion_tokens: 0, total_tokens: prompt_tokens });
  const many = (name: string, count: number, more: object) => Array.from({ length: count }, (_, n) => ticket(`${name}${n}`, more));

  it("its own prompt, however small the prompts were of all that came before it", async () => {
    configure();
    const played = playAll();
    const small = many("s", 50, { tokens: 20_000, prompt: 1_000 });
    await enqueue(small);
    await jobsAfter(played, 50);
    for (const { job } of small) await settle(job, 1, { kind: "committed", usage: usage(1_000) });
    await advanceTo(past(60));
    await enqueue(many("l", 100, { tokens: 101_000, prompt: 100_000 }));
    expect(await pool()).toMatchObject({ in_flight: 5, depth: 95 });
  });

  it("its prompt after a restart, too; and what a call reports is what it took", async () => {
    configure();
    const played = playAll();
    await coordinator().pull("pause", { kind: "pool", id: "gpt-5-mini" });
    await enqueue(many("s", 40, { tokens: 100_000, prompt: 10_000 }));
    await kill(coordinator());
    await coordinator().inspect();
    await advanceTo(past(60));
    await coordinator().pull("resume", { kind: "pool", id: "gpt-5-mini" });
    await jobsAfter(played, 40);
    await enqueue(many("l", 3, { tokens: 100_000, prompt: 100_000 }));
    expect(await pool()).toMatchObject({ in_flight: 41, depth: 2 });
    await settle("s0", 1, { kind: "committed", usage: usage(10_000) });
    await settle("s1", 1, { kind: "committed", usage: usage(500) });
    expect(await pool()).toMatchObject({ in_flight: 39, depth: 2 });
    await settle("l0", 1, { kind: "committed", usage: usage(1_000) });
    expect(await pool()).toMatchObject({ in_flight: 39, depth: 1 });
  });

  it("nothing, if its call was never made", async () => {
    configure();
    playAll();
    await enqueue(many("l", 7, { tokens: 100_000, prompt: 100_000 }));
    expect(await pool()).toMatchObject({ in_flight: 5, depth: 2 });
    await settle("l0", 1, { kind: "void" });
    expect(await pool()).toMatchObject({ in_flight: 5, depth: 1 });
  });

  it("the estimate of what its client sent, which its mailbox keeps; a pool without a governor costs nothing for it", async () => {
    const tickets: Ticket[] = [];
    world.between.set("coordinator.enqueue", (go, args) => {
      tickets.push(...(args[1] as Ticket[]));
      return go();
    });
    configure();
    world.env.SLUICE_POOLS = JSON.stringify({
      ...(JSON.parse(world.env.SLUICE_POOLS!) as object),
      "gpt-5-nano": { models: ["gpt-5-nano"], rpm: 10, tpm: 100_000 },
    });
    const request = { messages: [{ role: "user", content: "x".repeat(4_000) }], max_completion_tokens: 50 };
    for (const model of ["gpt-5-mini", "gpt-5-nano"]) await ended((await submit({ request: { model, ...request } })).id);
    expect(tickets.map(({ prompt, tokens }) => [prompt, tokens])).toEqual([
      [1_007, 1_057],
      [undefined, 1_057],
    ]);
  });
});
