import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import type { QueueState } from "../../schemas/queue.ts";
import type { JobWhy } from "../../schemas/why.ts";
import { advanceTo, call, crash, ended, hashOf, submit, until } from "../support/service.ts";
import { completion, EPOCH, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const operator = { key: "sk-dev-operator" };
const lever = (name: "pause" | "resume", scope?: unknown) => call<QueueState>("POST", `/v1/queue/${name}`, scope, operator);
const pool = async (id = "gpt-5-mini") =>
  (await call<QueueState>("GET", "/v1/queue", undefined, operator)).body.pools.find((each) => each.id === id)!;
const why = async (id: string) => (await call<JobWhy>("GET", `/v1/jobs/${id}/why`)).body;

describe("an operator's pause", () => {
  it.each([
    ["everything", undefined, "everything is paused by an operator"],
    ["a pool", { pool: "gpt-5-mini" }, 'the pool "gpt-5-mini" is paused by an operator'],
    ["a tenant", { tenant: "alice" }, 'the tenant "alice" is paused by an operator'],
  ])("of %s -> jobs are taken in and kept, and start when it is lifted", async (_, scope, cause) => {
    expect((await lever("pause", scope)).status).toBe(200);
    const { id, eta } = await submit();
    expect(eta).toMatchObject({ limited_by: "paused" });
    expect(await why(id)).toMatchObject({ status: "queued", limited_by: "paused", reason: `The job is next, and ${cause}.` });
    await crash();
    await advanceTo(EPOCH + 60_000);
    expect(await pool()).toMatchObject({ depth: 1, in_flight: 0 });
    expect(world.calls).toHaveLength(0);
    expect((await lever("resume", scope)).body).toMatchObject({ paused: false, paused_tenants: [] });
    expect((await ended(id)).status).toBe("completed");
  });

  it("of a pool, of a tenant -> others go on", async () => {
    const { body } = await lever("pause", { pool: "gpt-5-nano" });
    expect(body.pools.filter(({ paused }) => paused).map(({ id, condition }) => [id, condition.state])).toEqual([["gpt-5-nano", "paused"]]);
    expect((await lever("pause", { tenant: "bob" })).body).toMatchObject({ paused: false, paused_tenants: ["bob"] });
    const { id } = await submit();
    expect((await ended(id)).status).toBe("completed");
    await submit({}, {}, "sk-dev-bob");
    expect(await pool()).toMatchObject({ depth: 1, paused: false });
  });

  it("calls under way go on, and jobs that wait can be cancelled", async () => {
    const gate = { open: false };
    const { calls: age } = world;
    world.upstream = async () => {
      // Polls until the test opens the gate, because one object must not settle another's promise.
      while (!gate.open && world.calls === age) await scheduler.wait(2);
      return completion("ok");
    };
    const running = await submit();
    await until(() => world.waiting === 1);
    await lever("pause");
    const waiting = await submit();
    gate.open = true;
    expect((await ended(running.id)).status).toBe("completed");
    expect((await call("POST", `/v1/jobs/${waiting.id}/cancel`)).body.status).toBe("cancelled");
  });

  it("everything resumed -> every pause is lifted", async () => {
    for (const scope of [undefined, { pool: "gpt-5-mini" }, { tenant: "alice" }]) await lever("pause", scope);
    const { id } = await submit();
    await lever("resume");
    expect((await ended(id)).status).toBe("completed");
  });

  it("of everything: an empty body will do", async () => {
    const { status, body } = await call<QueueState>("POST", "/v1/queue/pause", "", operator);
    expect([status, body.paused]).toEqual([200, true]);
  });

  it.each<[unknown, number, string | null]>([
    [{ pool: "gone" }, 404, "pool_not_found"],
    [{ tenant: "alcie" }, 404, "tenant_not_found"],
    [{ pool: "gpt-5-mini", tenant: "alice" }, 400, "invalid_parameter"],
    [{ pools: ["gpt-5-mini"] }, 400, "invalid_parameter"],
    ["not json", 400, "invalid_json"],
  ])("%j -> %i", async (scope, status, code) => {
    const answer = await call<{ error: { code: string | null } }>("POST", "/v1/queue/pause", scope, operator);
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
  });

  it.each(["resume", "drain"] as const)("%s of a tenant that no key names -> 404", async (name) => {
    const answer = await call<ErrorBody>("POST", `/v1/queue/${name}`, { tenant: "alcie" }, operator);
    expect([answer.status, answer.body.error]).toEqual([
      404,
      { message: 'No key names a tenant "alcie".', type: "invalid_request_error", param: "tenant", code: "tenant_not_found" },
    ]);
  });

  it.each(["pause", "drain"] as const)("a tenant whose key was taken out meanwhile can still be let go of (%s)", async (name) => {
    const withKey = async () => JSON.stringify([{ key_sha256: await hashOf("sk-shop"), tenant: "shop" }]);
    world.env.SLUICE_KEYS = await withKey();
    await crash();
    expect((await call("POST", `/v1/queue/${name}`, { tenant: "shop" }, operator)).status).toBe(200);
    world.env.SLUICE_KEYS = "[]";
    await crash();
    const { body, status } = await lever("resume", { tenant: "shop" });
    expect([status, body.paused_tenants, body.draining_tenants]).toEqual([200, [], []]);
    expect((await lever("resume", { tenant: "shop" })).status).toBe(404);
  });

  it("a tenant whose key was taken out and that has jobs can be paused", async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: await hashOf("sk-shop"), tenant: "shop" }]);
    await crash();
    await lever("pause");
    await submit({}, {}, "sk-shop");
    world.env.SLUICE_KEYS = "[]";
    await crash();
    expect((await lever("pause", { tenant: "shop" })).body).toMatchObject({ paused_tenants: ["shop"] });
  });

  it("is the operator's alone", async () => {
    expect((await call("POST", "/v1/queue/pause")).status).toBe(403);
    expect((await call("POST", "/v1/queue/resume")).status).toBe(403);
  });
});

describe("upstream refuses", () => {
  it("the bill -> halted and kept, said in `why`, and an operator who has paid need not wait for the probe", async () => {
    world.upstream = () => refusal(429, "insufficient_quota", {}, "insufficient_quota");
    const { id } = await submit();
    await until(async () => (await pool()).condition.state === "halted");
    const reason = "upstream refuses its calls (insufficient_quota): the next test call is made in 30 seconds.";
    expect(await why(id)).toMatchObject({
      ...{ status: "queued", attempts: 0, limited_by: "paused", eta: { p50: 31 } },
      reason: `The next attempt is on hold: the pool "gpt-5-mini" is stopped because ${reason} Call 1 failed 0 seconds ago with 429 (insufficient_quota). It does not count as an attempt.`,
      pool: { condition: { state: "halted", reason: "billing" } },
    });
    const next = await submit();
    expect(await why(next.id)).toMatchObject({ limited_by: "paused", eta: { p50: 30 } });
    world.upstream = () => completion("ok");
    await lever("resume", { pool: "gpt-5-mini" });
    expect((await ended(next.id)).status).toBe("completed");
    // No time has passed.
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
  });

  it.each([
    [401, "invalid_api_key", "halted"],
    [403, "unsupported_country_region_territory", "normal"],
    [404, "model_not_found", "normal"],
    [403, "model_not_found", "normal"],
  ])("%i %s -> the pool is %s", async (status, code, state) => {
    world.upstream = () => (world.calls.length > 1 ? completion("ok") : refusal(status, code));
    const { id } = await submit();
    if (state === "halted") await until(async () => (await pool()).condition.state === "halted");
    else
      expect(await ended(id)).toMatchObject(
        code === "model_not_found" ? { status: "failed", error: { code } } : { status: "completed", attempts: 1 },
      );
    expect((await pool()).condition.state).toBe(state);
  });
});
