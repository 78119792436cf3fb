import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import type { PoolState, QueueState } from "../../schemas/queue.ts";
import type { TenantState } from "../../schemas/tuning.ts";
import { playAll } from "../support/desk.ts";
import { advanceTo, call, coordinator, crash, ended, hashOf, inside, job, pool, submit, until } from "../support/service.ts";
import { standAt } from "../support/stand.ts";
import { completion, EPOCH, gated, resetWorld, silence, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const operator = { key: "sk-dev-operator" };
const tunePool = (wish: unknown, id = "gpt-5-mini") => call<PoolState>("PATCH", `/v1/pools/${id}`, wish, operator);
const tuneTenant = (wish: unknown, id = "alice") => call<TenantState>("PATCH", `/v1/tenants/${id}`, wish, operator);
const getPool = async (id = "gpt-5-mini") => (await call<PoolState>("GET", `/v1/pools/${id}`, undefined, operator)).body;
const getTenant = async (id = "alice") => (await call<TenantState>("GET", `/v1/tenants/${id}`, undefined, operator)).body;
const queue = async () => (await call<QueueState>("GET", "/v1/queue", undefined, operator)).body;

/** Submits `count` jobs at once; returns their ids. */
async function many(count: number, key?: string): Promise<string[]> {
  const { body } = await call<{ data: { id: string }[] }>(
    "POST",
    "/v1/jobs",
    { jobs: [...Array(count)].map(() => job()) },
    key ? { key } : {},
  );
  return body.data.map(({ id }) => id);
}

/** Tells the coordinator of an answer whose headers show this limit of requests, with next to nothing spent. */
async function told(limit: number): Promise<void> {
  const { now: at } = world;
  const requests = { limit, remaining: limit - 1, resetMs: 60_000 / limit };
  const readings = [{ pool: "gpt-5-mini", job: "none", sentAt: at - 50, at, requests, tokens: null }];
  await coordinator().settle({ dispatcher: "disp-wnam-00", boot: "first", settlements: [], readings });
}

describe("a pool's limits", () => {
  it("lowered -> are in force at once, through a crash, and what they were configured as does not come back by itself", async () => {
    world.upstream = silence();
    const { status, body } = await tunePool({ rpm: 6, burst_seconds: 60 });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      object: "pool",
      id: "gpt-5-mini",
      limits: { rpm: 6, tpm: 500_000 },
      overrides: { rpm: 6, burst_seconds: 60 },
    });
    await crash();
    await many(10);
    expect(await getPool()).toMatchObject({ in_flight: 5, depth: 5, limits: { rpm: 6 }, overrides: { rpm: 6 } });
    expect((await queue()).pools.map(({ id, overrides }) => [id, Object.keys(overrides)])).toContainEqual(["gpt-5-nano", []]);
  });

  it("raised -> what waits starts, and what was spent stays spent", async () => {
    world.upstream = silence();
    await tunePool({ rpm: 6, burst_seconds: 60 });
    await many(10);
    expect(await getPool()).toMatchObject({ in_flight: 5, depth: 5 });
    // Five of eight are spent, and the second that is held back for calls in flight is less than one request.
    await tunePool({ rpm: 8 });
    expect(await getPool()).toMatchObject({ in_flight: 7, depth: 3 });
    await tunePool({ rpm: 60 });
    await until(async () => (await getPool()).in_flight === 10);
  });

  it("lowered below what was spent -> nothing more starts before that has refilled", async () => {
    world.upstream = silence();
    await tunePool({ rpm: 60, burst_seconds: 60 });
    await many(20);
    expect((await getPool()).in_flight).toBe(20);
    await tunePool({ rpm: 12 });
    await many(1);
    expect(await getPool()).toMatchObject({ in_flight: 20, depth: 1 });
    await advanceTo(EPOCH + 4_000);
    expect((await getPool()).depth).toBe(1);
    await advanceTo(EPOCH + 30_000);
    expect((await getPool()).depth).toBe(0);
  });

  it("set while calls are under way -> each is made once, and ends as ever", async () => {
    const gate = gated();
    const ids = await many(3);
    await until(() => world.waiting === 3);
    await tunePool({ concurrency: 1 });
    const [later] = await many(1);
    expect(await getPool()).toMatchObject({ in_flight: 3, depth: 1 });
    gate.open = true;
    for (const id of [...ids, later!]) expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(4);
  });

  it("set while a lease is on its way -> it arrives first: nothing of it is in doubt, and its dispatcher is asked nothing", async () => {
    const stand = standAt("dispatcher.start", "before it runs");
    const { id } = await submit();
    await until(() => stand.reached);
    const tuned = tunePool({ rpm: 6 });
    await until(async () => Object.keys((await pool()).overrides).length > 0);
    const again = tunePool({ rpm: 6 });
    const [later] = await many(1);
    stand.go();
    for (const wish of [tuned, again]) expect((await wish).body).toMatchObject({ limits: { rpm: 6 } });
    for (const each of [id, later!]) expect(await ended(each)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(2);
    expect((await getPool()).doubts).toMatchObject({ unknown_outcomes: 0 });
  });

  it("reset -> are as configured again, but for what is set with it; null is no limit", async () => {
    await tunePool({ rpm: 6, rpd: 100, concurrency: 2 });
    expect((await tunePool({ rpd: null })).body).toMatchObject({ limits: { rpd: null }, overrides: { rpm: 6, rpd: null, concurrency: 2 } });
    expect((await tunePool({ reset: true, tpm: 1_000 })).body).toMatchObject({
      limits: { rpm: 500, tpm: 1_000, rpd: null, concurrency: null },
      overrides: { tpm: 1_000 },
    });
    expect((await tunePool({ reset: true })).body).toMatchObject({ limits: { tpm: 500_000 }, overrides: {} });
  });

  it("too low for a job that was accepted -> it stands aside, and goes when they are raised", async () => {
    world.upstream = () => completion("ok");
    await call("POST", "/v1/queue/pause", undefined, operator);
    const { id } = await submit({}, { max_completion_tokens: 5_000 });
    await tunePool({ tpm: 1_000, burst_seconds: 60 });
    await call("POST", "/v1/queue/resume", undefined, operator);
    const small = await submit();
    expect((await ended(small.id)).status).toBe("completed");
    const large = await submit({}, { max_completion_tokens: 5_000 });
    expect(large.status).toBe("queued");
    expect(await getPool()).toMatchObject({ depth: 2 });
    await tunePool({ reset: true });
    for (const each of [id, large.id]) expect((await ended(each)).status).toBe("completed");
  });

  it.each([
    ["as configured", 600],
    ["lower", 300],
  ])("raised above what headers tell, which is %s -> goes up by steps once they tell so, and no further than was set", async (_, first) => {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { rpm: 600, tpm: 600_000, learn: { max_rpm: 5_000 } } });
    playAll();
    await getPool();
    world.now = EPOCH + 1_000;
    await told(first);
    expect((await tunePool({ rpm: 800 })).body).toMatchObject({ limits: { rpm: first }, overrides: { rpm: 800 } });
    const followed: number[] = [];
    for (let step = 1; step <= 6; step++) {
      world.now = EPOCH + 1_000 + step * 10_000;
      await told(1_200);
      followed.push((await getPool()).limits.rpm);
    }
    expect([followed[0], followed.at(-1)]).toEqual([first * 1.25, 800]);
  });

  it("lowered below what headers tell, and reset -> are at once what headers tell", async () => {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { rpm: 600, tpm: 600_000 } });
    playAll();
    await getPool();
    world.now = EPOCH + 1_000;
    await tunePool({ rpm: 6 });
    await told(500);
    expect((await getPool()).limits.rpm).toBe(6);
    expect((await tunePool({ reset: true })).body.limits.rpm).toBe(500);
  });

  it("set as they are -> nothing begins anew", async () => {
    await tunePool({ rpm: 6 });
    // If the object is replaced, a mark on it is gone.
    const marked = (object: unknown) => object as { mark?: true };
    await inside(coordinator(), (object) => {
      marked(object).mark = true;
    });
    expect((await tunePool({ rpm: 6 })).status).toBe(200);
    expect(await inside(coordinator(), (object) => marked(object).mark)).toBe(true);
    expect((await tunePool({ rpm: 7 })).status).toBe(200);
    expect(await inside(coordinator(), (object) => marked(object).mark)).toBeUndefined();
  });
});

describe("what was spent before limits were set otherwise", () => {
  /** Alice's limit and the pool's behave alike here. */
  it.each([
    ["a pool's", tunePool],
    ["a tenant's", tuneTenant],
  ])("%s lowered, and reset within the minute -> no more goes than the limit of before has left", async (_, tune) => {
    world.upstream = silence();
    await tune({ rpm: 60 });
    await many(80);
    const { in_flight: gone } = await getPool();
    expect(gone).toBeGreaterThan(50);
    await tune({ rpm: 6 });
    await many(20);
    expect((await getPool()).in_flight).toBe(gone);
    await advanceTo(EPOCH + 2_000);
    // This limit stands in for the configured one.
    await tune({ rpm: 60 });
    await many(1);
    expect((await getPool()).in_flight).toBeLessThanOrEqual(gone + 3);
    await advanceTo(EPOCH + 60_000);
    await until(async () => (await getPool()).in_flight > gone + 20);
  });

  it("of a day's limit that was lowered, or taken away -> is spent still when it is back", async () => {
    world.upstream = silence();
    await tunePool({ rpd: 40 });
    await many(36);
    await tunePool({ rpd: 5 });
    await tunePool({ rpd: 40 });
    await many(20);
    const { in_flight: gone } = await getPool();
    expect(gone).toBeGreaterThanOrEqual(36);
    expect(gone).toBeLessThanOrEqual(40);
    await tunePool({ rpd: null });
    await until(async () => (await getPool()).in_flight === 56);
    await tunePool({ rpd: 40 });
    await many(1);
    expect(await getPool()).toMatchObject({ in_flight: 56, depth: 1 });
  });
});

describe("jobs that are larger than what an operator sets", () => {
  it.each([{ tpm: 1_000, burst_seconds: 60 }, { tpd: 1_000 }])(
    "by %j -> none goes to see whether the limit is back, however long it takes",
    async (set) => {
      world.upstream = () => completion("ok");
      await tunePool(set);
      const { id } = await submit({}, { max_completion_tokens: 5_000 });
      for (let hour = 1; hour <= 24; hour += 4) await advanceTo(EPOCH + hour * 3_600_000);
      expect(world.calls).toHaveLength(0);
      expect(await getPool()).toMatchObject({ depth: 1, condition: { reason: "lowered_limit", next_probe_at: null } });
      await tunePool({ reset: true });
      await until(() => world.calls.length === 1);
      expect((await ended(id)).status).toBe("completed");
    },
  );

  it("of a tenant's -> are taken in, and go at a full bucket", async () => {
    world.upstream = () => completion("ok");
    await tuneTenant({ tpm: 1_000 });
    const { id } = await submit({}, { max_completion_tokens: 5_000 });
    expect((await ended(id)).status).toBe("completed");
  });
});

describe("wishes that meet", () => {
  it("and contradict each other -> each is fulfilled and answered, once", async () => {
    const answers = await Promise.all([300, 400, 200, 100].map((rpm) => tunePool({ rpm })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const { limits, overrides } = await getPool();
    expect(overrides).toEqual({ rpm: limits.rpm });
    expect([100, 200, 300, 400]).toContain(limits.rpm);
  });

  it("of different limits -> are all in force, a reset among them or not", async () => {
    await Promise.all([
      tunePool({ rpm: 300 }),
      tunePool({ concurrency: 3 }),
      tuneTenant({ weight: 2 }),
      tunePool({ rpm: 9 }, "gpt-5-nano"),
    ]);
    expect((await queue()).overrides).toEqual({
      pools: { "gpt-5-mini": { rpm: 300, concurrency: 3 }, "gpt-5-nano": { rpm: 9 } },
      tenants: { alice: { weight: 2 } },
    });
  });
});

describe("a tenant's limits", () => {
  it("set -> bound its jobs, and nobody else's", async () => {
    world.upstream = silence();
    const { body } = await tuneTenant({ rpm: 2, weight: 3 });
    expect(body).toEqual({
      ...{ object: "tenant", id: "alice", weight: 3, rpm: 2, tpm: null, max_queued: null, queued: 0 },
      overrides: { rpm: 2, weight: 3 },
    });
    await many(5);
    await many(5, "sk-dev-bob");
    const { tenants } = await getPool();
    expect(tenants).toMatchObject([
      { id: "alice", in_flight: 1, depth: 4, weight: 3 },
      { id: "bob", in_flight: 5, depth: 0, weight: 1 },
    ]);
    expect((await queue()).overrides.tenants).toEqual({ alice: { rpm: 2, weight: 3 } });
    expect((await tuneTenant({ reset: true })).body).toMatchObject({ rpm: null, weight: 1, queued: 5, overrides: {} });
    await until(async () => (await getPool()).in_flight === 10);
  });

  it("a ceiling of its queue -> further jobs are refused, through a crash", async () => {
    await call("POST", "/v1/queue/pause", undefined, operator);
    await tuneTenant({ max_queued: 2 });
    await crash();
    await many(2);
    const { status, body } = await call<ErrorBody>("POST", "/v1/jobs", job());
    expect([status, body.error.code]).toEqual([429, "queue_full"]);
    expect(await getTenant()).toMatchObject({ max_queued: 2, queued: 2 });
  });
});

describe("who may not, or asks for what cannot be", () => {
  it.each<[string, unknown, number, string]>([
    ["pools/gone", { rpm: 1 }, 404, "pool_not_found"],
    ["tenants/alcie", { rpm: 1 }, 404, "tenant_not_found"],
    ["pools/gpt-5-mini", { rpm: 0 }, 400, "invalid_parameter"],
    ["pools/gpt-5-mini", { rpm: null }, 400, "invalid_parameter"],
    ["pools/gpt-5-mini", { rpm: 1e-300 }, 400, "invalid_parameter"],
    ["pools/gpt-5-mini", { tpm: 1e300 }, 400, "invalid_parameter"],
    ["pools/gpt-5-mini", { models: ["*"] }, 400, "invalid_parameter"],
    ["pools/gpt-5-mini", [], 400, "invalid_parameter"],
    ["pools/gpt-5-mini", "not json", 400, "invalid_json"],
    ["tenants/alice", { weight: 1e-6 }, 400, "invalid_parameter"],
    ["tenants/alice", { rpd: 5 }, 400, "invalid_parameter"],
  ])("PATCH /v1/%s %j -> %i", async (path, wish, status, code) => {
    const answer = await call<ErrorBody>("PATCH", `/v1/${path}`, wish, operator);
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
    expect((await queue()).overrides).toEqual({ pools: {}, tenants: {} });
  });

  it("a tenant's own key -> 403", async () => {
    for (const path of ["/v1/pools/gpt-5-mini", "/v1/tenants/alice"]) {
      expect((await call("PATCH", path, { rpm: 1 })).status).toBe(403);
      expect((await call("GET", path)).status).toBe(403);
    }
  });

  it("to look -> writes nothing", async () => {
    await getPool();
    const rows = () => inside(coordinator(), (object) => (object as unknown as { rowsWritten(): number }).rowsWritten());
    const before = await rows();
    for (const look of [getPool, getTenant]) await look();
    expect(await rows()).toBe(before);
  });

  it("a pool and a tenant that are configured no more -> are shown, and can be reset", async () => {
    const own = (tenants: string[]) =>
      Promise.all(tenants.map(async (tenant) => ({ key_sha256: await hashOf(tenant), tenant, roles: ["submit", "operate"] })));
    const pools = { "gpt-5-mini": { rpm: 60, tpm: 60_000 }, old: { rpm: 5, tpm: 5_000 } };
    world.env = { SLUICE_POOLS: JSON.stringify(pools), SLUICE_KEYS: JSON.stringify(await own(["acme"])) };
    await crash();
    await tunePool({ rpm: 1 }, "old");
    await tuneTenant({ weight: 3 }, "acme");
    world.env = { SLUICE_POOLS: JSON.stringify({ "gpt-5-mini": pools["gpt-5-mini"] }) };
    await crash();
    expect((await queue()).overrides).toEqual({ pools: { old: { rpm: 1 } }, tenants: { acme: { weight: 3 } } });
    expect((await tunePool({ reset: true }, "old")).body).toEqual({ object: "pool", id: "old", overrides: {} });
    expect((await tuneTenant({ reset: true }, "acme")).body).toMatchObject({ id: "acme", overrides: {} });
    expect((await tunePool({ reset: true }, "old")).status).toBe(404);
  });

  it.each([
    ["__proto__", "plain"],
    ["constructor", "constructor"],
  ])("a tenant called %s, a pool called %s -> are like any other", async (name, ofPool) => {
    const own = [{ key_sha256: await hashOf("op"), tenant: name, roles: ["submit", "operate"] }];
    const pools = JSON.stringify({ [ofPool]: { models: ["m"], rpm: 60, tpm: 60_000 } });
    world.env = { SLUICE_POOLS: pools, SLUICE_KEYS: JSON.stringify(own) };
    await crash();
    expect(await getTenant(name)).toMatchObject({ id: name, weight: 1, overrides: {} });
    expect((await tuneTenant({ weight: 2 }, name)).body).toMatchObject({ weight: 2, overrides: { weight: 2 } });
    expect((await tunePool({ rpm: 5 }, ofPool)).body).toMatchObject({ limits: { rpm: 5 }, overrides: { rpm: 5 } });
    expect((await tunePool({ reset: true }, ofPool)).body).toMatchObject({ limits: { rpm: 60 }, overrides: {} });
    expect((await tuneTenant({ reset: true }, name)).body).toMatchObject({ weight: 1, overrides: {} });
  });

  it("a pool whose name is no plain word -> is named encoded", async () => {
    const own = [{ key_sha256: await hashOf("op"), tenant: "ops", roles: ["operate"] }];
    world.env = { SLUICE_POOLS: JSON.stringify({ "a/b c": { rpm: 5, tpm: 5 } }), SLUICE_KEYS: JSON.stringify(own) };
    await crash();
    expect(await getPool("a%2Fb%20c")).toMatchObject({ id: "a/b c", limits: { rpm: 5 } });
  });
});
