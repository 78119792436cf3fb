import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import type { QueueState } from "../../schemas/queue.ts";
import { enqueue, playAll, ticket } from "../support/desk.ts";
import { advanceTo, call, crash, ended, job, pool, submit, until, world } from "../support/service.ts";
import { completion, EPOCH, resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const lever = (name: "drain" | "resume" | "pause", scope?: unknown, key = "sk-dev-operator") =>
  call<QueueState>("POST", `/v1/queue/${name}`, scope, { key });
const refusedAs = async (request: Record<string, unknown> = {}, key = "sk-dev-alice") => {
  const { body, status } = await call<ErrorBody>("POST", "/v1/jobs", job({}, request), { key });
  return status === 202 ? "taken in" : `${status} ${body.error.type} ${body.error.code}`;
};
const DRAINING = "503 server_error draining";

describe("an operator drains", () => {
  it("everything: new jobs are refused, nothing of them is left, and what is in goes on", async () => {
    await lever("pause");
    const { id } = await submit();
    expect((await lever("drain")).body).toMatchObject({ draining: true, paused: true });
    expect(await refusedAs()).toBe(DRAINING);
    await crash();
    expect(await refusedAs({}, "sk-dev-bob")).toBe(DRAINING);
    expect(await pool()).toMatchObject({ draining: true, depth: 1 });
    expect((await call<{ data: unknown[] }>("GET", "/v1/jobs")).body.data).toHaveLength(1);
    expect((await lever("resume")).body).toMatchObject({ draining: false, paused: false });
    expect((await ended(id)).status).toBe("completed");
    expect(await refusedAs()).toBe("taken in");
  });

  it("a pool, or a tenant: others are taken in", async () => {
    expect((await lever("drain", { pool: "gpt-5-nano" })).body.pools.filter(({ draining }) => draining).map(({ id }) => id)).toEqual([
      "gpt-5-nano",
    ]);
    expect((await lever("drain", { tenant: "bob" })).body).toMatchObject({ draining: false, draining_tenants: ["bob"] });
    expect([await refusedAs({ model: "gpt-5-nano" }), await refusedAs(), await refusedAs({}, "sk-dev-bob")]).toEqual([
      DRAINING,
      "taken in",
      DRAINING,
    ]);
    await lever("resume", { pool: "gpt-5-nano" });
    expect(await refusedAs({ model: "gpt-5-nano" })).toBe("taken in");
    expect(await refusedAs({}, "sk-dev-bob")).toBe(DRAINING);
    await lever("resume", { tenant: "bob" });
    expect(await refusedAs({}, "sk-dev-bob")).toBe("taken in");
  });

  it("a call that fails meanwhile is still made again", async () => {
    world.upstream = () => (world.calls.length === 1 ? new Response("", { status: 500 }) : completion("ok"));
    const { id } = await submit();
    await until(() => world.calls.length === 1);
    await lever("drain");
    const done = await until(async () => {
      await advanceTo(world.now + 1_000);
      const { body } = await call("GET", `/v1/jobs/${id}`);
      return body.status === "completed" && body;
    });
    expect(done.attempts).toBe(2);
  });

  it("a job that was accepted before the coordinator heard of it is not refused", async () => {
    playAll();
    await lever("drain");
    expect(await enqueue([ticket("new", { offered: true }), ticket("accepted")])).toMatchObject([
      { ok: false, problem: { code: "draining" } },
      { ok: true },
    ]);
  });

  it("for operators alone, and for pools that are", async () => {
    expect((await lever("drain", undefined, "sk-dev-alice")).status).toBe(403);
    expect((await lever("drain", { pool: "gone" })).status).toBe(404);
    expect(world.now).toBe(EPOCH);
  });
});
