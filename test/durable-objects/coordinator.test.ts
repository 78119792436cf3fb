import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { alarm, committed, enqueue, fatal, passesTo, playAll, retryable, settle, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, pool, ticketRows, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const DISPATCHER = "disp-wnam-00";
const held = (job: string, attempt = 1) => ({ job, attempt });
const beat = (boot: string, leases: { job: string; attempt: number }[]) => coordinator().heartbeat(DISPATCHER, boot, leases);
const pools = (limits: Record<string, unknown>) =>
  JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 500, tpm: 500_000, ...limits } });

describe("a lease is lost", () => {
  it("when its dispatcher reports by another boot: perhaps called, so the next lease says unknown", async () => {
    const played = playAll();
    const { starts, verdictsOn } = played;
    await enqueue([ticket("a"), ticket("b")]);
    await until(() => starts.length === 2);
    await beat("first", [held("a"), held("b")]);
    expect(await pool()).toMatchObject({ in_flight: 2 });
    played.boot = "second";
    expect(await beat("second", [held("b")])).toEqual({ stop: [] });
    expect(await pool()).toMatchObject({ in_flight: 1, depth: 1 });
    await until(() => verdictsOn("a").length === 1);
    await advanceTo(EPOCH + 2_000);
    await until(() => starts.length === 3);
    expect(starts[2]).toMatchObject({ job: "a", attempt: 2, unknown: 1, waits: 0 });
    expect(verdictsOn("a")).toEqual(["retrying"]);
    expect(verdictsOn("b")).toEqual([]);
  });

  it("when a start is answered by another boot than the lease was taken in", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await beat("first", [held("a")]);
    played.boot = "second";
    await enqueue([ticket("b")]);
    await until(() => played.verdictsOn("a").length === 1);
    expect(await pool()).toMatchObject({ in_flight: 1, depth: 1 });
    expect((await coordinator().locate(["b"]))[0]).toMatchObject({ state: "running", held: { attempt: 1 } });
  });

  it("15 s after its dispatcher was made anew, though nobody told", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await until(() => played.starts.length === 1);
    await beat("first", [held("a")]);
    [played.boot, played.held] = ["second", []];
    await advanceTo(EPOCH + 14_999);
    expect(played.asked).toBe(0);
    await advanceTo(EPOCH + 15_000);
    await until(() => played.verdictsOn("a").length === 1);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 1 });
    await advanceTo(EPOCH + 17_000);
    await until(() => played.starts.length === 2);
    expect(played.starts[1]).toMatchObject({ job: "a", attempt: 2, unknown: 1 });
  });

  it("not if its dispatcher, asked after its silence, still holds it: that is as good as a heartbeat", async () => {
    const played = playAll();
    await enqueue([ticket("a"), ticket("b")]);
    await until(() => played.starts.length === 2);
    played.held = [held("a"), held("b")];
    for (const [asked, at] of [15_000, 30_000, 45_000, 60_000].entries()) {
      await advanceTo(EPOCH + at);
      await until(() => played.asked === asked + 1);
    }
    expect(await pool()).toMatchObject({ in_flight: 2 });
    played.held = [held("b")];
    await advanceTo(EPOCH + 75_000);
    await until(async () => (await pool()).in_flight === 1);
    expect(played.verdictsOn("b")).toEqual([]);
  });

  it("a dispatcher that is heard of is not asked", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    for (const at of [10_000, 20_000, 30_000]) {
      await advanceTo(EPOCH + at);
      await beat("first", [held("a")]);
    }
    await advanceTo(EPOCH + 44_999);
    expect(played.asked).toBe(0);
  });

  it("after 45 s without a heartbeat, and no millisecond sooner", async () => {
    const { starts, verdictsOn } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    await passesTo(EPOCH + 44_999);
    expect(await pool()).toMatchObject({ in_flight: 1, depth: 0 });
    await advanceTo(EPOCH + 45_000);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 1 });
    await until(() => verdictsOn("a").length === 1);
  });

  it("not while heartbeats come: each gives it 45 s more", async () => {
    playAll();
    await enqueue([ticket("a")]);
    for (const at of [40_000, 80_000, 120_000]) {
      await passesTo(EPOCH + at);
      expect(await beat("first", [held("a")])).toEqual({ stop: [] });
    }
    await passesTo(EPOCH + 164_999);
    expect(await pool()).toMatchObject({ in_flight: 1 });
    await advanceTo(EPOCH + 165_000);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 1 });
  });

  it("not because the coordinator itself was away: heartbeats that wait for it are read first, and who sent none is asked", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    world.now = EPOCH + 46_000;
    await enqueue([ticket("b")]);
    expect(await pool()).toMatchObject({ in_flight: 2, depth: 0 });
    expect(await beat("first", [held("a"), held("b")])).toEqual({ stop: [] });
    await passesTo(EPOCH + 61_000);
    expect(await pool()).toMatchObject({ in_flight: 2, depth: 0 });
    await passesTo(EPOCH + 91_000);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 2 });
  });

  it("and its dispatcher, should it live, is told to give it up; its word is no longer heard", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    await beat("first", [held("a")]);
    await passesTo(EPOCH + 45_000);
    await advanceTo(EPOCH + 47_000);
    await until(() => starts.length === 2);
    expect(await beat("first", [held("a", 1), held("never")])).toEqual({ stop: [held("a", 1), held("never")] });
    await settle("a", 1, committed);
    expect(await pool()).toMatchObject({ in_flight: 1 });
    await settle("a", 2, committed);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 0, scheduled: 0 });
    expect(await ticketRows()).toBe(0);
  });
});

describe("a verdict", () => {
  it("is sent again until its mailbox confirms it, and its ticket stays until then", async () => {
    const played = playAll();
    played.deaf = true;
    await enqueue([ticket("a")]);
    await settle("a", 1, fatal);
    await until(() => played.verdicts.length === 4);
    await advanceTo(EPOCH + 4_999);
    expect(await ticketRows()).toBe(1);
    await advanceTo(EPOCH + 5_000);
    await until(() => played.verdicts.length === 8);
    expect(await ticketRows()).toBe(1);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 0, scheduled: 0 });
    played.deaf = false;
    await advanceTo(EPOCH + 10_000);
    await until(async () => (await ticketRows()) === 0);
    expect(new Set(played.verdicts.map((verdict) => JSON.stringify(verdict))).size).toBe(1);
    expect(played.verdicts[0]).toMatchObject({
      job: "a",
      kind: "failed",
      attempt: 1,
      attempts: 1,
      unknown: 0,
      problem: { code: "broken" },
    });
  });

  it("outlives the coordinator", async () => {
    const played = playAll();
    played.deaf = true;
    await enqueue([ticket("a")]);
    await settle("a", 1, fatal);
    await until(() => played.verdicts.length === 4);
    played.deaf = false;
    await kill(coordinator());
    await coordinator().ping();
    await until(async () => (await ticketRows()) === 0);
    expect(new Set(played.verdicts.map((verdict) => JSON.stringify(verdict))).size).toBe(1);
  });
});

describe("time", () => {
  it("scheduled -> leased: at its time, and no millisecond sooner", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a", { notBefore: EPOCH + 60_000 })]);
    await advanceTo(EPOCH + 59_999);
    expect(await pool()).toMatchObject({ scheduled: 1, in_flight: 0 });
    await advanceTo(EPOCH + 60_000);
    await until(() => starts.length === 1);
    expect(await pool()).toMatchObject({ scheduled: 0, in_flight: 1 });
  });

  it("scheduled -> leased: after a crash, too", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a", { notBefore: EPOCH + 60_000 })]);
    await kill(coordinator());
    await advanceTo(EPOCH + 59_999);
    expect(await pool()).toMatchObject({ scheduled: 1, in_flight: 0 });
    await advanceTo(EPOCH + 60_000);
    await until(() => starts.length === 1);
  });

  it("many that expire together are told in letters of five hundred", async () => {
    world.env.SLUICE_POOLS = pools({ concurrency: 1 });
    const played = playAll();
    const sizes: number[] = [];
    const judge = world.between.get("mailbox.judge")!;
    world.between.set("mailbox.judge", (go, args) => {
      sizes.push((args[0] as unknown[]).length);
      return judge(go, args);
    });
    await enqueue(Array.from({ length: 1_200 }, (_, n) => ticket(`j${n}`, { deadline: EPOCH + 30_000 })));
    await advanceTo(EPOCH + 30_000);
    await until(() => played.verdicts.length === 1_199);
    expect(sizes.sort((a, b) => a - b)).toEqual([199, 500, 500]);
    await until(async () => (await pool()).depth === 0);
  });

  it("queued -> expired: at its deadline, with a verdict and without a dead letter", async () => {
    world.env.SLUICE_POOLS = pools({ concurrency: 1 });
    const { starts, verdicts } = playAll();
    await enqueue([
      ticket("a"),
      ticket("b", { deadline: EPOCH + 30_000 }),
      ticket("c", { notBefore: EPOCH + 60_000, deadline: EPOCH + 30_000 }),
    ]);
    await advanceTo(EPOCH + 29_999);
    expect(await pool()).toMatchObject({ in_flight: 1, depth: 1, scheduled: 1 });
    await advanceTo(EPOCH + 30_000);
    expect(await pool()).toMatchObject({ in_flight: 1, depth: 0, scheduled: 0 });
    await until(() => verdicts.length === 2);
    const expired = { kind: "expired", attempt: 0, attempts: 0, unknown: 0, problem: { code: "deadline_exceeded" } };
    expect(verdicts).toMatchObject([
      { job: "b", ...expired },
      { job: "c", ...expired },
    ]);
    expect(await coordinator().deadLetters(null, 10)).toEqual([]);
    expect(starts).toHaveLength(1);
  });

  it("in_progress: a deadline passes it by, and counts again when the attempt has failed", async () => {
    const { verdictsOn } = playAll();
    await enqueue([ticket("a", { deadline: EPOCH + 30_000 }), ticket("b", { deadline: EPOCH + 30_000 })]);
    await advanceTo(EPOCH + 31_000);
    expect(await pool()).toMatchObject({ in_flight: 2 });
    await settle("a", 1, committed);
    await settle("b", 1, retryable());
    await until(() => verdictsOn("b").includes("expired"));
    expect(verdictsOn("a")).toEqual([]);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 0, scheduled: 0 });
  });
});

describe("the order", () => {
  it.each([5, 20])("of %i jobs that came in one instant outlives the coordinator", async (count) => {
    world.env.SLUICE_POOLS = pools({ rpm: 60, burst_seconds: 1 });
    const played = playAll();
    // Sorted by name they would come in the opposite order.
    const jobs = Array.from({ length: count }, (_, index) => `job_${99 - index}`);
    await enqueue(jobs.map((each) => ticket(each)));
    await until(() => played.jobs().length === 1);
    await kill(coordinator());
    await until(async () => {
      await advanceTo(world.now + 1_000);
      return new Set(played.jobs()).size === count;
    });
    // The first was running when the coordinator died; when its dispatcher is asked, it does not answer.
    expect([...new Set(played.jobs())]).toEqual(jobs);
  });
});

describe("the next wake", () => {
  it.each([
    ["a ticket in an hour: the alarm rings then", { notBefore: EPOCH + 3_600_000 }, 3_600_000],
    ["a deadline before it: the alarm rings then", { notBefore: EPOCH + 3_600_000, deadline: EPOCH + 60_000.5 }, 60_001],
    [
      "a ticket in five seconds: timed in memory, and the alarm stands 30 s off, should the object die",
      { notBefore: EPOCH + 5_000 },
      30_000,
    ],
    ["a lease: the alarm rings when its dispatcher is to be asked", {}, 15_000],
  ])("%s", async (_, more, at) => {
    playAll();
    await enqueue([ticket("a", more)]);
    expect(await alarm()).toBe(EPOCH + at);
  });

  it("a nearer need moves the alarm, a farther one does not", async () => {
    playAll();
    await enqueue([ticket("a", { notBefore: EPOCH + 100_000 })]);
    await enqueue([ticket("b", { notBefore: EPOCH + 200_000 })]);
    expect(await alarm()).toBe(EPOCH + 100_000);
    await enqueue([ticket("c", { notBefore: EPOCH + 50_000 })]);
    expect(await alarm()).toBe(EPOCH + 50_000);
  });

  it("nothing to wait for: no alarm", async () => {
    await coordinator().ping();
    expect(await alarm()).toBeNull();
  });

  it("what is due soon comes by itself, without the alarm", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a", { notBefore: EPOCH + 40 })]);
    world.now = EPOCH + 40;
    await until(() => starts.length === 1);
  });

  it("woken before its time: the alarm stands for the rest", async () => {
    playAll();
    await enqueue([ticket("a", { notBefore: EPOCH + 100_000 })]);
    await advanceTo(EPOCH + 30_000);
    expect(await alarm()).toBe(EPOCH + 100_000);
  });
});
