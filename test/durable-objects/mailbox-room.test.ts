import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { advanceTo, call, ended, inside, job, mailbox, pool, submit, until, world } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

/** Bytes; an object can store 10 GB. */
const [ROOMY, FULL, BRIM] = [8_999_999_999, 9_000_000_000, 9_800_000_000];
const channel = "c";

/** Sets what the mailbox stores from now on. Its knowledge of that is a second old at most, so the clock moves by a second. */
function stores(bytes: number | null): void {
  world.stored = bytes;
  world.now += 1_000;
}

describe("a mailbox that stores nearly all that an object holds", () => {
  it("takes no new jobs, says so, and tells its operator once", async () => {
    const told = vi.spyOn(console, "error").mockImplementation(() => {});
    stores(ROOMY);
    await submit({ channel });
    stores(FULL);
    for (const _ of [1, 2]) {
      const { body, status } = await call<ErrorBody>("POST", "/v1/jobs", job({ channel }));
      expect({ status, error: body.error }).toMatchObject({
        status: 503,
        error: { code: "storage_full", type: "server_error", param: "channel" },
      });
    }
    expect(told.mock.calls).toEqual([[JSON.stringify({ level: "error", event: "storage_full", tenant: "alice", bytes: FULL })]]);
    told.mockRestore();
    stores(ROOMY);
    expect((await submit({ channel })).status).not.toBe("failed");
  });

  it("goes on with those that it has, and knows them by their Idempotency-Key", async () => {
    await call("POST", "/v1/queue/pause", {}, { key: "sk-dev-operator" });
    const headers = { "idempotency-key": "k" };
    const { body } = await call("POST", "/v1/jobs", job({ channel }), { headers });
    stores(FULL);
    expect((await call("POST", "/v1/jobs", job({ channel }), { headers })).body.id).toBe(body.id);
    await call("POST", "/v1/queue/resume", {}, { key: "sk-dev-operator" });
    expect(await ended(body.id)).toMatchObject({ status: "completed", attempts: 1 });
  });

  it("has nothing called that it could not keep: the job waits for room, and that was no attempt", async () => {
    await call("POST", "/v1/queue/pause", {}, { key: "sk-dev-operator" });
    const { id } = await submit({ channel });
    stores(BRIM);
    const opened: unknown[] = [];
    world.between.set("mailbox.open", async (go) => {
      opened.push(await go());
      return opened.at(-1);
    });
    await call("POST", "/v1/queue/resume", {}, { key: "sk-dev-operator" });
    await until(() => opened.length === 1);
    expect(opened).toEqual([[{ ok: false, reason: "full" }]]);
    await until(async () => (await pool()).in_flight === 0);
    expect(world.calls).toHaveLength(0);
    stores(null);
    await advanceTo(world.now + 60_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(1);
  });

  it("what is deleted makes room: it is not counted any more", async () => {
    await submit({ channel }, { messages: [{ role: "user", content: "x".repeat(1_500_000) }] });
    const stored = () => inside(mailbox("alice", channel), (_, { storage }) => storage.sql.databaseSize);
    const before = await stored();
    expect(before).toBeGreaterThan(1_500_000);
    await inside(mailbox("alice", channel), (_, { storage }) => {
      for (const table of ["jobs", "parts"]) storage.sql.exec(`DELETE FROM ${table}`);
    });
    expect(await stored()).toBeLessThan(before - 1_400_000);
  });
});
