import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { Coordinator } from "../support/entry.ts";
import { advanceTo, call, coordinator, crash, ended, inside, job, mailbox, pool, submit, ticketRows, until } from "../support/service.ts";
import { EPOCH, resetWorld, silence, world } from "../support/world.ts";

const SECOND = 1_000;
const at = (seconds: number) => EPOCH / SECOND + seconds;

/** One request every ten seconds, and the first has started: the next starts after ten seconds, the one behind it after twenty. */
beforeEach(async () => {
  resetWorld();
  world.env.SLUICE_POOLS = JSON.stringify({ default: { rpm: 6, tpm: 60_000, burst_seconds: 1 } });
  world.upstream = silence();
  await submit();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

const post = (more: Record<string, unknown>) => call<ErrorBody>("POST", "/v1/jobs", job(more));
const unreachable = (body: ErrorBody) => [body.error.code, body.error.param, body.error.earliest_possible];

describe("a deadline that cannot be met", () => {
  it("is refused at submit, with the earliest start that would be possible", async () => {
    const { status, body } = await post({ deadline: at(5) });
    expect(status).toBe(400);
    expect(unreachable(body)).toEqual(["deadline_unreachable", "deadline", at(10)]);
    expect(body.error.type).toBe("invalid_request_error");
  });

  it("is reckoned from the place that the job would get", async () => {
    await submit({ deadline: at(11) });
    expect(unreachable((await post({ deadline: at(11) })).body)).toEqual(["deadline_unreachable", "deadline", at(20)]);
    await submit({ deadline: at(11), priority: 60, deadline_policy: "strict" });
  });

  it("which is before the job's own not_before -> so it is refused too", async () => {
    const { status, body } = await post({ deadline: at(100), not_before: at(100) });
    expect([status, ...unreachable(body)]).toEqual([400, "deadline_unreachable", "deadline", at(100)]);
  });

  it("is told in whole seconds, as all times are: no earlier than it could be", async () => {
    world.now += 500;
    const { earliest_possible } = (await post({ deadline: at(5) })).body.error;
    expect(earliest_possible).toBe(at(10));
  });

  it("leaves nothing of the job behind", async () => {
    const before = await ticketRows();
    const { body } = await post({ deadline: at(5), channel: "c" });
    expect(body.error.code).toBe("deadline_unreachable");
    expect((await call<{ data: unknown[] }>("GET", "/v1/jobs?channel=c")).body.data).toEqual([]);
    expect([await ticketRows(), await pool("default")]).toMatchObject([before, { depth: 0, in_flight: 1 }]);
    const { eta } = await submit();
    expect(eta!.p50).toBe(10);
  });

  it("in a list fails alone, and takes no place from those behind it", async () => {
    const jobs = [job({ deadline: at(15) }), job({ deadline: at(15) }), job({ deadline: at(25) })];
    const { status, body } = await call<{ data: (ErrorBody & { eta: { p50: number } })[] }>("POST", "/v1/jobs", { jobs });
    expect(status).toBe(202);
    expect(body.data.map(({ eta, error }) => eta?.p50 ?? error.earliest_possible)).toEqual([10, at(20), 20]);
  });
});

describe("a deadline that is accepted", () => {
  it("though out of reach, by best effort: the job expires exactly at its deadline", async () => {
    const { id } = await submit({ deadline: at(5), deadline_policy: "best_effort" });
    await advanceTo(EPOCH + 4_999);
    expect((await call("GET", `/v1/jobs/${id}`)).body.status).toBe("queued");
    await advanceTo(EPOCH + 5_000);
    expect(await ended(id)).toMatchObject({ status: "expired", ended_at: at(5), error: { code: "deadline_exceeded" }, attempts: 0 });
  });

  it("within reach: the job starts in time", async () => {
    const { id, eta } = await submit({ deadline: at(10.001) });
    expect(eta!.p50).toBe(10);
    await advanceTo(EPOCH + 10_000);
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.status === "in_progress");
  });

  it("holds through a crash of everything", async () => {
    const { id } = await submit({ deadline: at(15), channel: "c" });
    await crash();
    await advanceTo(EPOCH + 9_000);
    await submit({ priority: 600 });
    await advanceTo(EPOCH + 15_000);
    expect(await ended(id)).toMatchObject({ status: "expired", attempts: 0 });
  });

  it("of a job that was accepted while the coordinator was away: brought again it is not refused, it expires", async () => {
    const away = vi.spyOn(Coordinator.prototype, "enqueue").mockRejectedValue(new Error("unreachable"));
    const { id } = await submit({ deadline: at(5), channel: "c" });
    away.mockRestore();
    await runDurableObjectAlarm(mailbox("alice", "c"));
    expect((await call("GET", `/v1/jobs/${id}`)).body).toMatchObject({ status: "queued", position: 1 });
    await advanceTo(EPOCH + 5_000);
    expect(await ended(id)).toMatchObject({ status: "expired", error: { code: "deadline_exceeded" } });
  });

  it("of a job that was refused wakes nobody", async () => {
    await advanceTo(EPOCH + 100);
    await post({ deadline: at(9) });
    const alarm = await inside(coordinator(), (_, state) => state.storage.getAlarm());
    expect(alarm).toBeGreaterThan(EPOCH + 9_000);
  });
});

describe("what is not checked against the queue", () => {
  it.each([
    ["a policy that is none", { deadline: at(5), deadline_policy: "maybe" }, "deadline_policy", "invalid_job"],
    [
      "a start after the deadline, whatever the policy",
      { not_before: at(60), deadline: at(50), deadline_policy: "best_effort" },
      "deadline",
      "deadline_unreachable",
    ],
    ["a deadline that has passed", { deadline: 1, deadline_policy: "best_effort" }, "deadline", "deadline_passed"],
  ])("%s: refused at the door", async (_, more, param, code) => {
    const { status, body } = await post(more);
    expect([status, body.error.param, body.error.code]).toEqual([400, param, code]);
  });
});
