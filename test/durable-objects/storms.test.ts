/** Rate refusals that silence does not cure, and what a call that was turned away costs its tenant and its job. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { alarm, committed, enqueue, playAll, player, problem, settle, ticket } from "../support/desk.ts";
import { receive } from "../support/receiver.ts";
import { advanceTo, coordinator, pool, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const limited = (retryAfterMs: number | null = null): Outcome => ({ kind: "rate_limited", retryAfterMs });
const halted: Outcome = { kind: "halted", reason: "billing", retryAfterMs: null, problem };
const configure = (limits: object) => {
  world.env.SLUICE_POOLS = JSON.stringify({
    "gpt-5-mini": { rpm: 600, tpm: 600_000, burst_seconds: 2, ...limits },
    default: { rpm: 500, tpm: 5e5 },
  });
};
const tickets = (count: number, name = "j") => Array.from({ length: count }, (_, n) => ticket(`${name}${n}`));

describe("everything is refused for the rate, and no header says why", () => {
  it("-> a few dozen calls, then three a minute, which is told; and once upstream takes them, all goes on within seconds", async () => {
    configure({});
    const played = playAll();
    played.held = [];
    await enqueue(tickets(600));
    const plays = player(played);
    const { refused } = await plays(EPOCH + 600_000, () => limited());
    expect(refused).toBeLessThan(60);
    expect(refused).toBeGreaterThan(40);
    expect((await pool()).condition).toMatchObject({ state: "slowed", reason: "rate_limit", code: "rate_limit_exceeded" });
    // The coordinator's next life remembers this, and goes on telling it.
    await kill(coordinator());
    expect((await pool()).condition).toMatchObject({ state: "slowed", reason: "rate_limit" });
    expect((await plays(EPOCH + 640_000, () => limited())).refused).toBeLessThan(5);
    expect((await plays(EPOCH + 860_000, () => committed)).taken).toBe(600);
    expect((await pool()).condition).toMatchObject({ state: "normal" });
  }, 60_000);

  it("and the coordinator sleeps from each call to the next -> it is called all the same; and once upstream takes them, all goes on", async () => {
    configure({});
    const played = playAll();
    played.held = [];
    await enqueue(tickets(60));
    const plays = player(played);
    await plays(EPOCH + 60_000, () => limited());
    let refused = 0;
    for (const end = world.now + 300_000; world.now < end; ) {
      refused += (await plays(world.now + 10_000, () => limited())).refused;
      // The platform lets the coordinator sleep ten seconds after its last event: what it timed in memory is lost, and its alarm wakes it.
      const at = (await alarm())!;
      await kill(coordinator());
      await advanceTo(Math.max(at, world.now));
    }
    expect(refused).toBeGreaterThanOrEqual(7);
    expect(refused).toBeLessThanOrEqual(15);
    expect((await plays(world.now + 120_000, () => committed)).taken).toBe(60);
  }, 60_000);

  it("a limit of a day that is used up: what little it lets through is used, and little more is refused than taken", async () => {
    configure({});
    const played = playAll();
    await enqueue(tickets(600));
    let room = 0;
    let seen = EPOCH;
    const { refused, taken } = await player(played)(EPOCH + 600_000, (now) => {
      // One call in ten seconds.
      room = Math.min(20, room + (now - seen) / 10_000);
      seen = now;
      if (room < 1) return limited(1_000);
      room--;
      return committed;
    });
    expect(taken).toBeGreaterThan(50);
    expect(refused).toBeLessThan(2 * taken);
  }, 60_000);

  it("after minutes in which nearly all was taken -> no more than a minute's calls are refused before it is asked three times a minute", async () => {
    configure({ rpm: 120, burst_seconds: 2 });
    const played = playAll();
    const plays = player(played);
    for (let minute = 1; minute <= 6; minute++) {
      await enqueue(tickets(120, `m${minute}-`));
      // One refusal in forty seconds, as when others use the account too.
      let refusedAt = world.now;
      await plays(EPOCH + minute * 60_000, (now) => {
        if (now - refusedAt < 40_000) return committed;
        refusedAt = now;
        return limited(0);
      });
    }
    expect(played.starts.length).toBeGreaterThan(600);
    await enqueue(tickets(600));
    const { refused } = await plays(world.now + 600_000, () => limited(0));
    expect(refused).toBeLessThan(120 + 20 + 3 * 10 + 10);
  }, 60_000);

  it("three of ten, as where others use the account -> nothing is held back beyond the silences", async () => {
    configure({ burst_seconds: 1 });
    const played = playAll();
    await enqueue(tickets(1_000));
    let calls = 0;
    const { taken } = await player(played)(EPOCH + 120_000, () => (calls++ % 10 < 3 ? limited(0) : committed));
    expect(taken).toBeGreaterThan(700);
    expect((await pool()).condition).toMatchObject({ state: "normal" });
  }, 60_000);

  it.each([
    [1, 2, "alice"],
    [2, 2, "alice"],
    [40, 2, "alice"],
    [40, 60, "bob"],
  ])(
    "%i jobs that upstream never takes stop no pool (a burst of %i s): the others, of %s, go on",
    async (count, burst_seconds, tenant) => {
      configure({ burst_seconds });
      const played = playAll();
      await enqueue(tickets(count, "bad"));
      await enqueue(tickets(900), { tenant, channel: "c" });
      let heard = 0;
      let taken = 0;
      // Answers take long; refusals do not.
      const open: { job: string; attempt: number; at: number }[] = [];
      for (; world.now < EPOCH + 1_800_000 && taken < 900; await advanceTo(world.now + 500)) {
        for (; heard < played.starts.length; heard++) {
          const { attempt, job } = played.starts[heard]!;
          if (job.startsWith("bad")) await settle(job, attempt, limited());
          else open.push({ job, attempt, at: world.now + 5_000 });
        }
        for (; open[0] && open[0].at <= world.now; taken++) await settle(open[0].job, open.shift()!.attempt, committed);
      }
      expect(taken).toBe(900);
    },
    60_000,
  );

  it("one job alone is told to wait for days -> it is called again in ten minutes: upstream may have let go of that since", async () => {
    const played = playAll();
    await enqueue(tickets(1));
    await settle("j0", 1, limited(172_800_000));
    await advanceTo(EPOCH + 599_000);
    expect(played.starts).toHaveLength(1);
    await advanceTo(EPOCH + 661_000);
    await until(() => played.starts.length === 2);
  });

  it("silence for days is asked for: who was told so waits for it; another is called in seconds, then after as long again, which is an alarm; a restart changes nothing, an operator ends it for good", async () => {
    const received = receive();
    world.env.SLUICE_ALERT_URL = "https://alarm.example.com/hook";
    const days = limited(172_800_000);
    const played = playAll();
    await enqueue(tickets(1));
    await settle("j0", 1, days);
    expect((await pool()).condition).toMatchObject({ state: "slowed", reason: "rate_limit", next_probe_at: EPOCH / 1_000 + 2 });
    await enqueue(tickets(2, "k"));
    await advanceTo(EPOCH + 1_900);
    expect(played.starts).toHaveLength(1);
    await advanceTo(EPOCH + 2_000);
    await until(() => played.starts.length === 2);
    await advanceTo(EPOCH + 3_000);
    expect(received).toEqual([]);
    await settle("k0", 1, days);
    await until(() => received.length === 1);
    expect(JSON.parse(received[0]!.body)).toMatchObject({ event: "pool_halted", reason: "rate_limit" });
    await kill(coordinator());
    expect((await pool()).condition.next_probe_at).toBe(EPOCH / 1_000 + 6);
    await advanceTo(EPOCH + 5_900);
    expect(played.starts).toHaveLength(2);
    await advanceTo(EPOCH + 6_000);
    await until(() => played.starts.length === 3);
    await advanceTo(EPOCH + 60_000);
    await settle("k1", 1, days);
    await enqueue(tickets(1, "late"));
    await kill(coordinator());
    await advanceTo(EPOCH + 119_000);
    expect(played.starts).toHaveLength(3);
    await coordinator().pull("resume", { kind: "pool", id: "gpt-5-mini" });
    await until(() => played.starts.length === 7);
    await kill(coordinator());
    await enqueue(tickets(1, "later"));
    await until(() => played.jobs().includes("later0"));
  });
});

describe("jobs that stepped back before a restart come with a resume after it", () => {
  it.each<[string, Outcome, number]>([
    ["behind the probe of a halted pool", halted, 1],
    ["since they are refused time and again", limited(0), 5],
    ["since there is no capacity", { kind: "no_capacity", retryAfterMs: 600_000 }, 1],
  ])("%s", async (_, outcome, times) => {
    const played = playAll();
    await enqueue(tickets(2));
    for (let round = 1; round <= times; round++) {
      await until(() => played.starts.length === 2 * round);
      for (const job of ["j0", "j1"]) await settle(job, round, outcome);
      if (round < times) await advanceTo(world.now + (round < times - 1 ? 1_000 : 20_000));
    }
    await kill(coordinator());
    await coordinator().inspect();
    expect(played.starts).toHaveLength(2 * times);
    await coordinator().pull("resume", { kind: "pool", id: "gpt-5-mini" });
    await until(() => played.starts.length === 2 * times + 2);
  });
});

describe("a call that was turned away", () => {
  it("costs its tenant nothing: its own limit is as it was", async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: "0".repeat(64), tenant: "alice", rpm: 2 }]);
    const played = playAll();
    await enqueue(tickets(1));
    for (let attempt = 1; attempt <= 3; attempt++) {
      await until(() => played.starts.length === attempt);
      await settle("j0", attempt, limited(0));
      await advanceTo(world.now + 10_000);
    }
    await until(() => played.starts.length === 4);
    expect(world.now).toBe(EPOCH + 30_000);
  });

  it("time and again while others are taken: lets them go by, and does not silence the pool each time", async () => {
    configure({ burst_seconds: 60 });
    const played = playAll();
    const answer = (job: string): Outcome => (job === "large" ? limited(1_000) : committed);
    await enqueue([ticket("large")]);
    let heard = 0;
    for (let second = 1; second <= 600; second++) {
      await enqueue([ticket(`s${second}`)]);
      await advanceTo(EPOCH + second * 1_000);
      for (; heard < played.starts.length; heard++) {
        const { attempt, job } = played.starts[heard]!;
        await settle(job, attempt, answer(job));
      }
    }
    const large = played.starts.filter(({ job }) => job === "large").length;
    expect(large).toBeLessThan(15);
    expect(large).toBeGreaterThan(4);
    expect(played.starts.length - large).toBeGreaterThan(590);
  }, 60_000);

  it.each<[string, Outcome]>([
    ["for want of capacity", { kind: "no_capacity", retryAfterMs: null }],
    ["before it was sent", { kind: "retryable", unknown: false, retryAfterMs: null, problem, unsent: true }],
  ])(
    "%s, as all of its tenant's are: takes its turn, and soon a tenth of the pool is all that they take",
    async (_, nothing) => {
      configure({ rpm: 60 });
      const played = playAll();
      await enqueue(tickets(600, "a"));
      await enqueue(tickets(400, "b"), { tenant: "bob", channel: "c" });
      let well = EPOCH + 300_000;
      let heard = 0;
      const count = (name: string) => played.starts.filter(({ job }) => job.startsWith(name)).length;
      for (; world.now < well; await advanceTo(world.now + 500)) {
        for (; heard < played.starts.length; heard++) {
          const { attempt, job } = played.starts[heard]!;
          await settle(job, attempt, job.startsWith("a") ? nothing : committed);
        }
      }
      expect(count("b")).toBeGreaterThan(240);
      expect(count("a")).toBeGreaterThan(40);
      // One call that upstream takes is enough, even before its answer has ended: the tenant has its half again.
      const before = count("a");
      const others = count("b");
      for (well += 60_000; world.now < well; await advanceTo(world.now + 500)) {
        for (; heard < played.starts.length; heard++) {
          const { attempt, job, probe } = played.starts[heard]!;
          const [place] = await coordinator().locate([job]);
          if (probe) await coordinator().proven(place!.held!.dispatcher, job, attempt);
          if (job.startsWith("b")) await settle(job, attempt, committed);
        }
      }
      expect(count("a") - before).toBeGreaterThan(20);
      expect(count("b") - others).toBeGreaterThan(20);
    },
    60_000,
  );

  it("for want of capacity: it alone waits", async () => {
    const played = playAll();
    await enqueue(tickets(1));
    await settle("j0", 1, { kind: "no_capacity", retryAfterMs: 5_000 });
    await enqueue([ticket("other")]);
    await until(() => played.starts.length === 2);
    expect(await pool()).toMatchObject({ in_flight: 1, depth: 1, condition: { state: "normal" } });
    await advanceTo(EPOCH + 5_500);
    await until(() => played.starts.length === 3);
    expect(played.starts[2]).toMatchObject({ job: "j0", attempt: 2, waits: 1 });
  });

  it("for want of capacity, however often: comes back when upstream asked for it, and no more than its own backoff later", async () => {
    const played = playAll();
    await enqueue(tickets(1));
    for (let attempt = 1; attempt <= 4; attempt++) {
      await until(() => played.starts.length === attempt);
      await settle("j0", attempt, { kind: "no_capacity", retryAfterMs: 3_600_000 });
      if (attempt < 4) await advanceTo(world.now + 3_700_000);
    }
    expect(played.starts).toHaveLength(4);
    await advanceTo(world.now + 3_600_000);
    expect(played.starts).toHaveLength(4);
    await advanceTo(world.now + 600_000);
    await until(() => played.starts.length === 5);
  });

  it("of a pool that stood still for longer than a job may be tried: a refusal after that does not fail it", async () => {
    const played = playAll();
    await enqueue(tickets(1));
    await settle("j0", 1, halted);
    await coordinator().pull("pause", { kind: "all" });
    await advanceTo(EPOCH + 26 * 3_600_000);
    await coordinator().pull("resume", { kind: "all" });
    await until(() => played.starts.length === 2);
    await settle("j0", 2, limited(1_000));
    await advanceTo(world.now + 1_100);
    await until(() => played.starts.length === 3);
    expect(played.verdicts).toEqual([]);
  });
});
