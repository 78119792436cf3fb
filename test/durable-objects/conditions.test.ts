/** How a pool stops and comes back, with its jobs: the test plays mailboxes and dispatchers. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { alarm, committed, enqueue, passesTo, playAll, problem, retryable, settle, ticket } from "../support/desk.ts";
import { receive } from "../support/receiver.ts";
import { advanceTo, coordinator, inside, pool, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const refused = (reason: "billing" | "credentials", code = "insufficient_quota"): Outcome => ({
  ...{ kind: "halted", reason, retryAfterMs: null },
  problem: { ...problem, status: reason === "billing" ? 429 : 403, code },
});
const down: Outcome = { ...retryable(), upstream: true } as Outcome;
const region: Outcome = { kind: "region", problem };
const past = (seconds: number) => EPOCH + seconds * 1_000;
const condition = async (id?: string) => (await pool(id)).condition;
const jobsAfter = (played: ReturnType<typeof playAll>, count: number) => until(() => played.starts.length >= count && played.jobs());

describe("a bill that is not paid", () => {
  it("-> halted: jobs are kept, one is the probe at growing intervals, and its success lets all go", async () => {
    const played = playAll();
    await enqueue([ticket("a"), ticket("b")]);
    await settle("a", 1, refused("billing"));
    await settle("b", 1, refused("billing"));
    await enqueue([ticket("c"), ticket("d"), ticket("e")]);
    expect(await pool()).toMatchObject({ depth: 5, scheduled: 0, in_flight: 0, paused: true });
    expect(await condition()).toEqual({
      ...{ state: "halted", reason: "billing", code: "insufficient_quota", since: past(0) / 1_000 },
      ...{ next_probe_at: past(30) / 1_000, failed_probes: 0, share: 1 },
    });
    await advanceTo(past(29.999));
    expect(played.starts).toHaveLength(2);
    await advanceTo(past(30));
    expect(await jobsAfter(played, 3)).toEqual(["a", "b", "c"]);
    expect(await condition()).toMatchObject({ next_probe_at: null });
    // The first two are back in the queue and wait like all others: one probe at a time.
    await advanceTo(past(32));
    expect(await pool()).toMatchObject({ depth: 4, scheduled: 0, in_flight: 1 });
    await settle("c", 1, refused("billing"));
    expect(await condition()).toMatchObject({ failed_probes: 1, next_probe_at: past(92) / 1_000 });
    await advanceTo(past(92));
    expect((await jobsAfter(played, 4)).at(-1)).toBe("a");
    await settle("a", 2, committed);
    expect((await jobsAfter(played, 8)).slice(4).sort()).toEqual(["b", "c", "d", "e"]);
    expect(await condition()).toMatchObject({ state: "normal", reason: null });
    // It was a wait, not an attempt, and no mailbox was told of one.
    expect(played.starts.find(({ job, attempt }) => job === "b" && attempt === 2)).toMatchObject({ waits: 1, unknown: 0 });
    expect(played.verdicts).toEqual([]);
  });

  it("other pools go on", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await enqueue([ticket("n", { pool: "gpt-5-nano" })]);
    expect(await jobsAfter(played, 2)).toEqual(["a", "n"]);
    expect(await condition("gpt-5-nano")).toMatchObject({ state: "normal" });
  });

  it("the halt outlives the coordinator, with its intervals and its probe", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await enqueue([ticket("b"), ticket("c")]);
    await kill(coordinator());
    expect(await condition()).toMatchObject({ state: "halted", next_probe_at: past(30) / 1_000 });
    await advanceTo(past(30));
    await jobsAfter(played, 2);
    await settle("b", 1, refused("billing"));
    await kill(coordinator());
    expect(await condition()).toMatchObject({ failed_probes: 1, next_probe_at: past(90) / 1_000 });
    await advanceTo(past(90));
    await jobsAfter(played, 3);
    await kill(coordinator());
    expect(await pool()).toMatchObject({ paused: true });
  });

  it("those that stepped back come as soon as the probe has succeeded, not at the next one's time", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await enqueue([ticket("b"), ticket("s", { notBefore: past(300) })]);
    await advanceTo(past(30));
    await jobsAfter(played, 2);
    await settle("b", 1, committed);
    expect(await jobsAfter(played, 3)).toEqual(["a", "b", "a"]);
    expect(await pool()).toMatchObject({ scheduled: 1, in_flight: 1 });
  });

  it("a probe whose dispatcher is lost is followed by another", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await enqueue([ticket("b"), ticket("c")]);
    await advanceTo(past(30));
    await jobsAfter(played, 2);
    await passesTo(past(75));
    expect((await jobsAfter(played, 3)).at(-1)).toBe("a");
    expect(await pool()).toMatchObject({ in_flight: 1, paused: true });
  });

  it("a probe that ended while its pool was out of the settings is not waited for", async () => {
    const limits = { rpm: 500, tpm: 500_000 };
    const configure = (...names: string[]) => {
      world.env.SLUICE_POOLS = JSON.stringify(Object.fromEntries(names.map((name) => [name, limits])));
    };
    configure("default", "old");
    const played = playAll();
    await enqueue([ticket("a", { pool: "old" }), ticket("b", { pool: "old" })]);
    await settle("a", 1, refused("billing"));
    await settle("b", 1, refused("billing"));
    await advanceTo(past(31));
    await jobsAfter(played, 3);
    // When its dispatcher is asked, it holds no call any more.
    played.held = [];
    configure("default");
    await kill(coordinator());
    await until(async () => (await pool("default")).in_flight <= 1);
    configure("default", "old");
    await kill(coordinator());
    await coordinator().cancel(["a", "b"]);
    await enqueue([ticket("c", { pool: "old" })]);
    await until(() => played.jobs().includes("c"));
    expect(await condition("old")).toMatchObject({ state: "halted", next_probe_at: null });
  });

  it("a probe that is cancelled makes room for another at once", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await enqueue([ticket("b"), ticket("c")]);
    await advanceTo(past(30));
    await jobsAfter(played, 2);
    await coordinator().cancel(["b"]);
    await settle("b", 1, { kind: "aborted" });
    expect((await jobsAfter(played, 3)).at(-1)).toBe("c");
  });

  it("deadlines still pass, and what is cancelled is gone", async () => {
    const { verdictsOn } = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await enqueue([ticket("b", { deadline: past(10) }), ticket("c")]);
    await advanceTo(past(10));
    await until(() => verdictsOn("b").includes("expired"));
    await coordinator().cancel(["c", "a"]);
    expect(await pool()).toMatchObject({ depth: 0, scheduled: 0, in_flight: 0 });
  });

  it("the coordinator sleeps until the probe is due; with no job there is nothing to wake for", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await inside(coordinator(), (_, state) => state.storage.deleteAlarm());
    await kill(coordinator());
    await enqueue([ticket("b")]);
    expect(await alarm()).toBe(past(30));
    expect(played.starts).toHaveLength(1);
  });

  it("no job fails for the time that its pool stood still", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    for (let day = 1; day <= 3; day++) {
      await advanceTo(past(day * 86_400));
      await jobsAfter(played, day + 1);
      await settle("a", day + 1, refused("billing"));
    }
    expect(played.verdicts).toEqual([]);
    expect(await condition()).toMatchObject({ failed_probes: 3 });
  });
});

describe("a region that is refused", () => {
  it("retires the dispatcher for good, and another makes the call at once", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, region);
    await jobsAfter(played, 2);
    const [place] = await coordinator().locate(["a"]);
    expect(place!.held!.dispatcher).toBe("disp-wnam-01");
    await settle("a", 2, committed);
    await kill(coordinator());
    await enqueue([ticket("b")]);
    expect((await coordinator().locate(["b"]))[0]!.held!.dispatcher).toBe("disp-wnam-01");
    expect(await condition()).toMatchObject({ state: "normal" });
  });

  it("everywhere: after eight dispatchers the pool is halted", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    for (let attempt = 1; attempt <= 8; attempt++) {
      await jobsAfter(played, attempt);
      await settle("a", attempt, region);
    }
    expect(played.starts).toHaveLength(8);
    expect(await condition()).toMatchObject({ state: "halted", reason: "region" });
  });
});

describe("upstream is down", () => {
  const failing = ["a", "b", "c", "d", "e"];

  async function open() {
    const played = playAll();
    await enqueue(failing.map((job) => ticket(job)));
    for (const job of failing) await settle(job, 1, down);
    return played;
  }

  it("-> open after failures of several jobs, not after one; a probe that fails uses up no attempt", async () => {
    const played = playAll();
    await enqueue(failing.map((job) => ticket(job)));
    for (const job of failing.slice(0, 4)) await settle(job, 1, down);
    expect(await condition()).toMatchObject({ state: "normal" });
    await settle("e", 1, down);
    expect(await condition()).toMatchObject({ state: "open", reason: "failures", code: "broken", next_probe_at: past(2) / 1_000 });
    await enqueue([ticket("f")]);
    // The jobs' backoff is over, but nothing starts before the probe.
    await advanceTo(past(1.9));
    expect(played.starts).toHaveLength(5);
    await advanceTo(past(2));
    await jobsAfter(played, 6);
    const { job, attempt } = played.starts.at(-1)!;
    await settle(job, attempt, down);
    expect(await condition()).toMatchObject({ failed_probes: 1, next_probe_at: past(6) / 1_000 });
    expect(played.verdicts.at(-1)).toMatchObject({ job, kind: "retrying", attempts: attempt - 1, retryAt: past(7) });
  });

  describe("a probe's answer has begun, and goes on for long", () => {
    async function begin() {
      const played = await open();
      const answers = async () => {
        const { job, attempt } = played.starts.at(-1)!;
        const [place] = await coordinator().locate([job]);
        await coordinator().proven(place!.held!.dispatcher, job, attempt);
      };
      await enqueue(["f", "g", "h"].map((job) => ticket(job)));
      await advanceTo(past(2));
      // Ten seconds without a failure allow two calls, ten more allow four.
      for (const [index, seconds] of [2, 12, 22].entries()) {
        const probes = index + 1;
        await advanceTo(past(seconds));
        await jobsAfter(played, 5 + probes);
        expect(await pool()).toMatchObject({ in_flight: probes, condition: { state: "open" } });
        await answers();
      }
      await jobsAfter(played, 9);
      return { played, probes: played.starts.slice(5) };
    }

    it("-> the next job is called after a while, then two more, and so on; the first whole answer lets all go", async () => {
      const { played, probes } = await begin();
      await settle(probes[1]!.job, probes[1]!.attempt, committed);
      expect(await condition()).toMatchObject({ state: "normal" });
      await jobsAfter(played, 13);
    });

    it("it breaks off -> none more is called for a while, and no attempt is used up; a restart changes nothing", async () => {
      const { played, probes } = await begin();
      await kill(coordinator());
      for (const { job, attempt } of probes.slice(0, 3)) await settle(job, attempt, down);
      expect(await condition()).toMatchObject({ state: "open", failed_probes: 1 });
      const { attempts } = played.verdicts.at(-1)!;
      expect(attempts).toBe(probes[2]!.attempt - 1);
      const [place] = await coordinator().locate([probes[3]!.job]);
      await coordinator().proven(place!.held!.dispatcher, probes[3]!.job, probes[3]!.attempt);
      await advanceTo(past(31.9));
      expect(played.starts).toHaveLength(9);
      await advanceTo(past(32));
      await jobsAfter(played, 10);
    });
  });

  it("a probe that runs into a time-out is none of the three that fail its job", async () => {
    const played = await open();
    const late: Outcome = { ...down, unknown: true, repeats: 3 } as Outcome;
    for (let probe = 1; probe <= 12; probe++) {
      await advanceTo(world.now + 120_000);
      const { job, attempt } = await until(() => played.starts.length === 5 + probe && played.starts.at(-1)!);
      await settle(job, attempt, probe < 12 ? late : committed);
    }
    await jobsAfter(played, 21);
    for (const { job, attempt } of played.starts.slice(17)) await settle(job, attempt, late);
    expect(played.verdicts.filter(({ kind }) => kind === "failed")).toEqual([]);
  });

  it("-> normal as soon as a probe is answered; the others follow at once", async () => {
    const played = await open();
    await advanceTo(past(2));
    await jobsAfter(played, 6);
    const { job, attempt } = played.starts.at(-1)!;
    await settle(job, attempt, committed);
    expect((await jobsAfter(played, 10)).slice(5).sort()).toEqual(failing);
    expect(await condition()).toMatchObject({ state: "normal" });
  });

  it("a dispatcher that is lost is not upstream's failure", async () => {
    playAll();
    await enqueue(failing.map((job) => ticket(job)));
    for (const job of failing) await settle(job, 1, retryable(true));
    expect(await condition()).toMatchObject({ state: "normal" });
  });
});

describe("an operator's alarm", () => {
  const ALARM = "https://alarm.example.com/hook";

  it("is told once that a pool halted, with the reason, and that it runs again", async () => {
    const received = receive();
    world.env.SLUICE_ALERT_URL = ALARM;
    const played = playAll();
    await enqueue([ticket("a"), ticket("b")]);
    await settle("a", 1, refused("billing", "credit_balance_exhausted"));
    await settle("b", 1, refused("billing", "credit_balance_exhausted"));
    await until(() => received.length === 1);
    await enqueue([ticket("c")]);
    await advanceTo(past(30));
    await until(() => played.starts.length === 3);
    await settle("c", 1, committed);
    await until(() => received.length === 2);
    const told = received.map(({ body }) => JSON.parse(body));
    expect(told).toMatchObject([
      { event: "pool_halted", level: "error", pool: "gpt-5-mini", reason: "billing", code: "credit_balance_exhausted", at: EPOCH / 1_000 },
      { event: "pool_resumed", level: "info", pool: "gpt-5-mini", by: "probe", at: EPOCH / 1_000 + 30 },
    ]);
    expect(told[0].text).toMatch(/^Sluice: pool_halted \(pool gpt-5-mini, reason billing, code credit_balance_exhausted/);
    expect(received[0]).toMatchObject({ url: ALARM, redirect: "manual", headers: { "content-type": "application/json" } });
  });

  it("without a URL nobody is told", async () => {
    const received = receive();
    playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    expect(await condition()).toMatchObject({ state: "halted" });
    expect(received).toEqual([]);
  });

  it("that does not listen -> is tried again, four times in all, and the queue goes on meanwhile", async () => {
    const received = receive(() => new Response(null, { status: 500 }));
    world.env.SLUICE_ALERT_URL = ALARM;
    const played = playAll();
    await enqueue([ticket("a"), ticket("n", { pool: "gpt-5-nano" })]);
    await settle("a", 1, refused("billing"));
    await until(() => received.length === 4);
    expect(world.waits).toEqual([2_000, 10_000, 30_000]);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    expect(played.jobs()).toContain("n");
  });
});
