import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { call, crash, job, pool } from "../support/service.ts";
import { resetWorld, silence, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Last = { last: number | null; never: number };
type Waits = Last & { p50: number | null; p95: number | null };
type Simulation = {
  object: string;
  pools: {
    id: string;
    depth: number;
    as_is: Last;
    simulated: Last;
    tenants: { id: string; batch: boolean; depth: number; as_is: Waits; simulated: Waits }[];
  }[];
};
const operator = { key: "sk-dev-operator" };
const simulate = async (wish: unknown) => (await call<Simulation>("POST", "/v1/simulate", wish, operator)).body.pools[0]!;

/** A pool of one request a second, a minute's worth of which goes at once; beyond that, this many jobs of each tenant wait. */
async function backlog(alice: number, bob: number): Promise<void> {
  world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { rpm: 60, tpm: 1_000_000, burst_seconds: 60, transit_ms: 0 } });
  await crash();
  world.upstream = silence();
  const submit = (count: number, key: string) => call("POST", "/v1/jobs", { jobs: Array.from({ length: count }, () => job()) }, { key });
  await submit(alice + 60, "sk-dev-alice");
  await submit(bob, "sk-dev-bob");
  expect(await pool()).toMatchObject({ depth: alice + bob, in_flight: 60 });
}

describe("what other limits would do to the jobs that wait", () => {
  it("nothing is changed -> both tell the same: when half, nearly all and the last of each tenant start", async () => {
    await backlog(30, 60);
    const { as_is, depth, simulated, tenants } = await simulate({});
    expect([depth, as_is, simulated]).toEqual([90, { last: 89.5, never: 0 }, { last: 89.5, never: 0 }]);
    expect(tenants).toMatchObject([
      { id: "alice", batch: false, depth: 30, as_is: { p50: 29, p95: 57, last: 59 }, simulated: { last: 59 } },
      { id: "bob", batch: false, depth: 60, as_is: { p50: 59, last: 89.5 } },
    ]);
  });

  it("a limit, a weight, a tenant's own limit -> who gains by it and who loses", async () => {
    await backlog(30, 60);
    // What was spent stays spent: the larger minute allows sixty more at once, then two a second.
    expect((await simulate({ pools: { "gpt-5-mini": { rpm: 120 } } })).simulated.last).toBe(14.8);
    const [alice, bob] = (await simulate({ tenants: { bob: { weight: 3 } } })).tenants;
    expect([alice!.simulated.last, bob!.simulated.last]).toEqual([89.5, 79.3]);
    const own = (await simulate({ tenants: { alice: { rpm: 6 } } })).tenants;
    expect(own.map(({ simulated }) => simulated.last)).toEqual([295, 66.1]);
    const places = await simulate({ pools: { "gpt-5-mini": { concurrency: 60 } } });
    expect(places.simulated.last).toBeGreaterThanOrEqual(89.5);
    expect(await pool()).toMatchObject({ limits: { rpm: 60 }, overrides: {}, depth: 90 });
  });

  it("a lowered limit -> as it is told once it is set", async () => {
    await backlog(30, 60);
    const { simulated } = await simulate({ pools: { "gpt-5-mini": { rpm: 6 } } });
    // Five seconds of the limit are owed, not ten minutes.
    expect(simulated.last).toBe(900);
    await call("PATCH", "/v1/pools/gpt-5-mini", { rpm: 6 }, operator);
    expect(Math.abs((await simulate({})).as_is.last! - simulated.last!)).toBeLessThanOrEqual(10);
  });

  it("a limit that lets a job through every hundred seconds -> the wait that a job is told once it is set", async () => {
    await backlog(3, 0);
    const { simulated } = await simulate({ pools: { "gpt-5-mini": { rpm: 0.6 } } });
    await call("PATCH", "/v1/pools/gpt-5-mini", { rpm: 0.6 }, operator);
    const jobs = (await call<{ data: { id: string }[] }>("GET", "/v1/jobs?status=queued")).body.data;
    const told = await Promise.all(
      jobs.map(async ({ id }) => (await call<{ eta: { p50: number } }>("GET", `/v1/jobs/${id}/why`)).body.eta.p50),
    );
    expect(told.sort((a, b) => a - b)).toEqual([105, 205, 305]);
    expect(Math.abs(simulated.last! - 305)).toBeLessThanOrEqual(10);
  });

  it("an upstream that counts in windows -> what of one is not taken goes at once", async () => {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { rpm: 60, tpm: 1_000_000, window_seconds: 60, transit_ms: 0 } });
    await crash();
    world.upstream = silence();
    await call("POST", "/v1/queue/pause", undefined, operator);
    await call("POST", "/v1/jobs", { jobs: Array.from({ length: 90 }, () => job()) });
    expect((await simulate({})).as_is.last).toBe(29.5);
  });

  describe("jobs that a limit would never hold", () => {
    /** Three jobs of some 2,000 tokens that wait, and as many small ones if `small`. */
    async function large(small: boolean): Promise<void> {
      await backlog(small ? 3 : 0, 0);
      const jobs = Array.from({ length: 3 }, () => job({}, { max_completion_tokens: 2_000 }));
      await call("POST", "/v1/jobs", { jobs }, { key: "sk-dev-bob" });
    }

    it("all of them -> how many, and no time at which they would start; once it is set, that is what they are told", async () => {
      await large(false);
      const { as_is, simulated, tenants } = await simulate({ pools: { "gpt-5-mini": { tpm: 1_000 } } });
      expect(as_is).toEqual({ last: 2.5, never: 0 });
      expect(simulated).toEqual({ last: null, never: 3 });
      expect(tenants).toMatchObject([{ id: "bob", depth: 3, simulated: { p50: null, p95: null, last: null, never: 3 } }]);
      expect((await simulate({ pools: { "gpt-5-mini": { burst_seconds: 0.1 } } })).simulated.never).toBe(3);
      await call("PATCH", "/v1/pools/gpt-5-mini", { tpm: 1_000 }, operator);
      const [one] = (await call<{ data: { id: string }[] }>("GET", "/v1/jobs?status=queued", undefined, { key: "sk-dev-bob" })).body.data;
      const why = await call<{ reason: string }>("GET", `/v1/jobs/${one!.id}/why`, undefined, { key: "sk-dev-bob" });
      expect(why.body.reason).toContain('waits until a limit of the pool "gpt-5-mini" is raised');
      const raised = await simulate({ pools: { "gpt-5-mini": { tpm: 1_000_000 } } });
      expect([raised.as_is, raised.simulated.never]).toEqual([{ last: null, never: 3 }, 0]);
    });

    it("some of them -> the others start as if they were alone", async () => {
      await large(true);
      const { simulated, tenants } = await simulate({ pools: { "gpt-5-mini": { tpm: 1_000, rpm: 60 } } });
      expect(simulated).toMatchObject({ last: tenants[0]!.simulated.last, never: 3 });
      expect(tenants[0]).toMatchObject({ id: "alice", simulated: { last: expect.any(Number), never: 0 } });
      expect(tenants[1]).toMatchObject({ id: "bob", simulated: { last: null, never: 3 } });
    });
  });

  it("nobody waits -> nothing to clear", async () => {
    expect(await simulate({})).toMatchObject({ depth: 0, as_is: { last: 0 }, tenants: [] });
  });

  it.each<[unknown, number, string]>([
    [{ pools: { gone: { rpm: 1 } } }, 404, "pool_not_found"],
    [{ pools: { "gpt-5-mini": { reset: true } } }, 400, "invalid_parameter"],
    [{ tenants: { alcie: { rpm: 1 } } }, 404, "tenant_not_found"],
    [{ pools: { "gpt-5-mini": { rpm: -1 } } }, 400, "invalid_parameter"],
    [{ tenants: { alice: { max_queued: 1 } } }, 400, "invalid_parameter"],
    [{ rpm: 1 }, 400, "invalid_parameter"],
  ])("%j -> %i", async (wish, status, code) => {
    const answer = await call<ErrorBody>("POST", "/v1/simulate", wish, operator);
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
  });

  it("a tenant's own key -> 403", async () => {
    expect((await call("POST", "/v1/simulate", {})).status).toBe(403);
  });
});
