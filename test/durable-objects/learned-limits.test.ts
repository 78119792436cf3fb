import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LimitReading } from "../../schemas/rate.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { committed, enqueue, playAll, settle, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, ended, pool, submit, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { completion, EPOCH, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const configured = (more: object = {}) => {
  world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 600, tpm: 600_000, ...more } });
};

/** Gives the coordinator an answer's headers, with the end of `job`'s call if there is one. */
async function read(requests: LimitReading | null, tokens: LimitReading | null = null, job?: string): Promise<void> {
  const at = world.now;
  const settlements = job ? [{ job, attempt: 1, outcome: committed, headersMs: null }] : [];
  const readings = [{ pool: "gpt-5-mini", job: job ?? "none", sentAt: at - 50, at, requests, tokens }];
  await coordinator().settle({ dispatcher: "disp-wnam-00", boot: "first", settlements, readings });
}
const of = (limit: number, remaining: number): LimitReading => ({
  limit,
  remaining,
  resetMs: Math.round(((limit - remaining) / limit) * 60_000),
});

describe("limits that upstream tells", () => {
  it("lowered: in force at once, after a restart too; raised: by steps, up to what is configured", async () => {
    configured();
    playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await read(of(300, 290));
    expect((await pool()).limits).toMatchObject({ rpm: 300, tpm: 600_000 });
    await kill(coordinator());
    expect((await pool()).limits).toMatchObject({ rpm: 300, tpm: 600_000 });
    const followed: number[] = [];
    for (let step = 1; step <= 6; step++) {
      world.now = EPOCH + 1_000 + step * 10_000;
      await read(of(1_200, 1_190));
      followed.push((await pool()).limits.rpm);
    }
    expect(followed).toEqual([375, 468.75, 585.9375, 600, 600, 600]);
  });

  it("one that was told a moment after the pool's own, and by nobody since -> is in force before the next burst starts", async () => {
    configured();
    const played = playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await read(of(600, 590));
    world.now = EPOCH + 1_500;
    await read(of(60, 50));
    expect((await pool()).limits).toMatchObject({ rpm: 600 });
    world.now = EPOCH + 100_000;
    await enqueue(Array.from({ length: 100 }, (_, index) => ticket(`job${index}`)));
    await until(() => played.starts.length > 0);
    expect((await pool()).limits).toMatchObject({ rpm: 60 });
    expect(played.starts.length).toBeLessThanOrEqual(60);
  });

  it.each([false, true])(
    "told no more for ten minutes of calls: as configured again, reported, and after a restart too (between calls the coordinator sleeps: %s)",
    async (sleeps) => {
      configured();
      const informed = vi.spyOn(console, "info");
      const played = playAll();
      await coordinator().inspect();
      world.now = EPOCH + 1_000;
      await read(of(500, 490));
      for (const minute of [1, 6, 12]) {
        world.now = EPOCH + minute * 60_000;
        await enqueue([ticket(`job${minute}`)]);
        await until(() => played.jobs().includes(`job${minute}`));
        await settle(`job${minute}`, 1, committed);
        if (sleeps) await kill(coordinator());
      }
      expect((await pool()).limits).toMatchObject({ rpm: 600 });
      const raised = informed.mock.calls.map(([line]) => JSON.parse(line as string) as { event: string });
      expect(raised.filter(({ event }) => event === "limit_raised")).toMatchObject([{ resource: "rpm", from: 500, to: 600 }]);
      await kill(coordinator());
      expect((await pool()).limits).toMatchObject({ rpm: 600 });
      vi.restoreAllMocks();
    },
  );

  it("with learn: false, nothing is followed", async () => {
    configured({ learn: false });
    playAll();
    await read(of(300, 0), of(300_000, 0));
    expect(await pool()).toMatchObject({ limits: { rpm: 600, tpm: 600_000 }, used: { requests: 0, tokens: 0 } });
  });

  it("little is left -> no more starts than that, though none of it was ours", async () => {
    configured();
    const played = playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await read(of(600, 20));
    await enqueue(Array.from({ length: 100 }, (_, index) => ticket(`job${index}`)));
    await until(() => played.starts.length > 0);
    expect(played.starts.length).toBeLessThanOrEqual(20);
    expect(played.starts.length).toBeGreaterThan(5);
    await advanceTo(EPOCH + 61_000);
    await until(() => played.starts.length === 100);
  });

  it.each([true, false])("with learn.refund %s, a reservation that upstream gave back is spent again, or is not", async (refund) => {
    configured({ learn: { refund } });
    const { starts } = playAll();
    await enqueue([ticket("large", { tokens: 580_000 }), ticket("next", { tokens: 200_000 })]);
    await until(() => starts.length === 1);
    world.now = EPOCH + 5_000;
    await read(null, of(600_000, 599_000));
    await until(() => (refund ? starts.length === 2 : starts.length === 1));
    const { used } = await pool();
    // Half of this: what the headers show as given back, less what refills in a second.
    expect(used.tokens).toBe(530_000 + (refund ? 200_000 - (530_000 - 1_000 - 10_000) / 2 : 0));
  });

  it.each(["no_capacity", "slow_down"] as const)(
    "calls that ended in %s were not counted upstream: others who were are seen",
    async (kind) => {
      configured();
      const played = playAll();
      await coordinator().inspect();
      world.now = EPOCH + 1_000;
      await read(of(600, 300));
      world.now = EPOCH + 2_000;
      await enqueue(Array.from({ length: 100 }, (_, index) => ticket(`job${index}`)));
      await until(() => played.starts.length === 100);
      await coordinator().pull("pause", { kind: "all" });
      for (const { job } of played.starts) await settle(job, 1, { kind, retryAfterMs: null });
      world.now = EPOCH + 21_000;
      // 200 refilled, and others took 60.
      await read(of(600, 440));
      const { requests } = (await pool()).foreign;
      expect(requests).toBeGreaterThan(100);
      expect(requests).toBeLessThan(180);
    },
  );

  it("what is said of a pool that is not there, or of another window, changes nothing", async () => {
    configured();
    playAll();
    await coordinator().settle({
      dispatcher: "disp-wnam-00",
      boot: "first",
      settlements: [],
      readings: [{ pool: "gone", job: "none", sentAt: EPOCH, at: EPOCH, requests: of(1, 0), tokens: null }],
    });
    await read({ limit: 200, remaining: 1, resetMs: 85_000_000 });
    expect(await pool()).toMatchObject({ limits: { rpm: 600 }, used: { requests: 0 } });
  });
});

describe("a limit of a day that upstream tells", () => {
  const DAY = 86_400_000;
  const day = (limit: number, remaining: number): LimitReading => ({ limit, remaining, resetMs: ((limit - remaining) / limit) * DAY });
  const events = (spy: { mock: { calls: unknown[][] } }) => spy.mock.calls.map(([line]) => JSON.parse(line as string) as object);

  it("is followed where none is configured, shown, logged, and goes on after a restart; told no more, it is gone", async () => {
    configured();
    const [warned, informed] = [vi.spyOn(console, "warn"), vi.spyOn(console, "info")];
    playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await read(day(10_000, 9_000), day(2_000_000, 1_000_000));
    expect((await pool()).limits).toMatchObject({ rpm: 600, tpm: 600_000, rpd: 10_000, tpd: 2_000_000 });
    const lowered = { level: "warn", event: "limit_lowered", pool: "gpt-5-mini", from: null };
    expect(events(warned)).toEqual([
      { ...lowered, resource: "rpd", to: 10_000 },
      { ...lowered, resource: "tpd", to: 2_000_000 },
    ]);
    await kill(coordinator());
    expect((await pool()).limits).toMatchObject({ rpd: 10_000, tpd: 2_000_000 });
    world.now = EPOCH + 2 * 3_600_000;
    await read(of(600, 590), day(2_000_000, 1_000_000));
    expect((await pool()).limits).toMatchObject({ rpd: null, tpd: 2_000_000 });
    expect(events(informed)).toMatchObject([{ event: "limit_raised", resource: "rpd", from: 10_000, to: null }]);
    vi.restoreAllMocks();
  });

  it("is used up by others -> nothing starts; an operator resumes, after a restart too -> what is left to us is spent", async () => {
    configured({ rpd: 10_000 });
    const played = playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await read(day(10_000, 0));
    await enqueue([ticket("a"), ticket("b")]);
    await advanceTo(EPOCH + 7_000);
    expect(played.starts).toEqual([]);
    await kill(coordinator());
    await coordinator().pull("resume", { kind: "pool", id: "gpt-5-mini" });
    await until(() => played.starts.length === 2);
  });
});

describe("a limit of a day that upstream told, and that is used up", () => {
  const DAY = 86_400_000;
  const day = (remaining: number): LimitReading => ({ limit: 5, remaining, resetMs: ((5 - remaining) / 5) * DAY });
  const names = (name: string, count: number) => Array.from({ length: count }, (_, n) => ticket(`${name}${n}`));
  const starts = (played: ReturnType<typeof playAll>, name: string) => played.starts.filter(({ job }) => job.startsWith(name));

  /** Five calls a day, all of them made; other jobs wait. Twice one of those was called to find out, and was refused. */
  async function asked() {
    configured();
    const played = playAll();
    await enqueue(names("a", 1));
    world.now = EPOCH + 5_000;
    await read(day(4));
    await enqueue(names("b", 4));
    await until(() => starts(played, "b").length === 4);
    for (const job of ["a0", "b0", "b1", "b2", "b3"]) await settle(job, 1, committed);
    await enqueue(names("c", 30));
    const refused: Outcome = { kind: "rate_limited", retryAfterMs: 1_000 };
    for (const [times, seconds] of [25, 65].entries()) {
      await advanceTo(EPOCH + seconds * 1_000 - 500);
      expect(starts(played, "c")).toHaveLength(times);
      await advanceTo(EPOCH + seconds * 1_000);
      await until(() => starts(played, "c").length === times + 1);
      world.now += 100;
      await read(day(0));
      const { attempt, job } = starts(played, "c").at(-1)!;
      await settle(job, attempt, refused);
      await kill(coordinator());
      await coordinator().inspect();
    }
    return played;
  }

  /** Completes each call as soon as it starts: after being refused, the pool starts calls only on credit. */
  async function allGoOn(played: ReturnType<typeof playAll>) {
    for (let heard = 2; heard < 32; heard++) {
      await until(() => starts(played, "c").length > heard);
      const { attempt, job } = starts(played, "c")[heard]!;
      await settle(job, attempt, committed);
    }
    expect(world.now).toBeLessThan(EPOCH + 146_000);
  }

  it("is asked for by one call at a time, by itself and through restarts; once upstream tells of it no more, all go on", async () => {
    const played = await asked();
    await advanceTo(EPOCH + 144_000);
    expect(starts(played, "c")).toHaveLength(2);
    const informed = vi.spyOn(console, "info");
    await advanceTo(EPOCH + 145_500);
    await until(() => starts(played, "c").length === 3);
    world.now += 100;
    await read(of(600, 599));
    await allGoOn(played);
    expect(informed.mock.calls.map(([line]) => JSON.parse(line as string))).toMatchObject([
      { event: "limit_raised", pool: "gpt-5-mini", resource: "rpd", from: 5, to: null },
    ]);
  });

  it("once a call is taken and nothing is told at all, they go on as well", async () => {
    const played = await asked();
    await advanceTo(EPOCH + 145_500);
    await until(() => starts(played, "c").length === 3);
    await allGoOn(played);
  });

  it("a new day has begun upstream: what it tells is left may be used, and no more", async () => {
    const played = await asked();
    await advanceTo(EPOCH + 145_500);
    await until(() => starts(played, "c").length === 3);
    world.now += 100;
    await read(day(4));
    // The reading counts the call that asked, which is also one of those that may not have arrived.
    await until(() => starts(played, "c").length === 5);
    await advanceTo(EPOCH + 149_000);
    expect(starts(played, "c")).toHaveLength(5);
  });
});

describe("a job that is too large for a lowered limit", () => {
  const large = (job: string) => ticket(job, { tokens: 500_000 });

  it("stands aside, lets the others pass, and starts when the limit is raised again; one that comes then waits as well", async () => {
    configured();
    const played = playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await enqueue([ticket("first", { tokens: 550_000 }), large("large"), ticket("small", { tokens: 70_000 })]);
    await until(() => played.jobs().length === 1);
    await read(null, of(300_000, 0), "first");
    expect(await enqueue([large("late")])).toMatchObject([{ ok: true, place: { state: "waiting" } }]);
    await advanceTo(EPOCH + 80_000);
    await until(() => played.jobs().includes("small"));
    expect(played.jobs()).not.toContain("large");
    await kill(coordinator());
    for (let step = 0; step < 12; step++) {
      await advanceTo(world.now + 11_000);
      await read(null, of(600_000, 600_000));
    }
    await advanceTo(world.now + 60_000);
    await advanceTo(world.now + 60_000);
    await until(() => played.jobs().includes("large"));
    await advanceTo(world.now + 60_000);
    await until(() => played.jobs().includes("late"));
  });

  it("with nothing else to call, the smallest is let go at a full bucket to see whether upstream has raised it; that is shown", async () => {
    configured();
    const played = playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await enqueue([ticket("first", { tokens: 550_000 }), large("large"), ticket("smaller", { tokens: 400_000 })]);
    await until(() => played.jobs().length === 1);
    await read(null, of(300_000, 0), "first");
    const { condition } = await pool();
    expect(condition).toMatchObject({ state: "slowed", reason: "lowered_limit", since: world.now / 1_000 });
    const at = condition.next_probe_at! * 1_000;
    expect(at).toBeGreaterThan(world.now + 30_000);
    expect((await coordinator().explain("large"))?.pool.condition).toEqual(condition);
    await advanceTo(at - 1);
    expect(played.jobs()).toEqual(["first"]);
    await advanceTo(at);
    await until(() => played.jobs().length === 2);
    expect(played.jobs()).toEqual(["first", "smaller"]);
    await settle("smaller", 1, { kind: "rate_limited", retryAfterMs: null });
    await advanceTo(at + 30_000);
    expect(played.jobs()).toEqual(["first", "smaller"]);
    await advanceTo(at + 180_000);
    await until(() => played.jobs().length === 3);
    world.now += 1_000;
    await coordinator().settle({
      ...{ dispatcher: (await coordinator().locate(["smaller"]))[0]!.held!.dispatcher, boot: "first" },
      settlements: [{ job: "smaller", attempt: 2, outcome: committed, headersMs: null }],
      readings: [
        { pool: "gpt-5-mini", job: "smaller", sentAt: world.now - 50, at: world.now, requests: null, tokens: of(600_000, 200_000) },
      ],
    });
    for (let minute = 0; minute < 5; minute++) await advanceTo(world.now + 60_000);
    expect(played.jobs()).toEqual(["first", "smaller", "smaller", "large"]);
  });

  it("of a short burst alone, but not for the limit of a minute, goes on", async () => {
    configured({ burst_seconds: 2 });
    const played = playAll();
    await coordinator().inspect();
    world.now = EPOCH + 1_000;
    await read(null, of(300_000, 290_000));
    await enqueue(Array.from({ length: 5 }, (_, index) => ticket(`job${index}`, { tokens: 12_000 })));
    for (let second = 1; second <= 20; second++) await advanceTo(EPOCH + second * 1_000);
    expect(played.jobs().length).toBe(5);
    expect((await pool()).condition.state).toBe("normal");
  });
});

const headers = { "x-ratelimit-limit-requests": "300", "x-ratelimit-remaining-requests": "299", "x-ratelimit-reset-requests": "200ms" };

it("the headers of a real call arrive: the dispatcher reads them, of answers and of refusals", async () => {
  configured();
  world.upstream = () => {
    const answer = completion("yes");
    const told = new Response(answer.body, answer);
    for (const [name, value] of Object.entries(headers)) told.headers.set(name, value);
    return told;
  };
  await ended((await submit()).id);
  await until(async () => (await pool()).limits.rpm === 300);
});

it("the headers of a call that goes on arrive with the next heartbeat; of one that was not heard, with the one after it", async () => {
  configured();
  world.heartbeatMs = 20;
  let lost = 0;
  world.between.set("coordinator.heartbeat", (go) => {
    if (lost++ === 0) throw new Error("unheard");
    return go();
  });
  const long = script();
  world.upstream = (call) => {
    const told = new Response(long.answer(call).body, { headers: { "content-type": "text/event-stream" } });
    for (const [name, value] of Object.entries(headers)) told.headers.set(name, value);
    return told;
  };
  const { id } = await submit();
  await until(async () => (await pool()).limits.rpm === 300);
  expect((await pool()).in_flight).toBe(1);
  long.finish();
  await ended(id);
});
