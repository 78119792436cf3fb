import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import type { QueueState } from "../../schemas/queue.ts";
import { advanceTo, call, coordinator, ended, evict, inside, mailbox, submit, until } from "../support/service.ts";
import { completion, EPOCH, refusal, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const get = (id: string, query = "", headers: Record<string, string> = {}) => call("GET", `/v1/jobs/${id}${query}`, undefined, { headers });
const later = { not_before: EPOCH / 1_000 + 60 };

/** How many tickets the coordinator holds. */
async function tickets(): Promise<number> {
  const { pools } = await coordinator().inspect();
  return pools.reduce((sum, { depth, in_flight, scheduled }) => sum + depth + in_flight + scheduled, 0);
}

describe("asking for a job", () => {
  it("202 while it waits and while it runs, 200 once it has ended", async () => {
    world.upstream = script().answer;
    const { id } = await submit();
    const running = await until(async () => {
      const answer = await get(id);
      return answer.body.status === "in_progress" && answer;
    });
    expect(running.status).toBe(202);
    expect(running.body).toMatchObject({ started_at: expect.any(Number), ended_at: null, attempts: 1, position: null });
    expect((await get((await submit(later)).id)).status).toBe(202);
    await call("POST", `/v1/jobs/${id}/cancel`);
    expect((await get(id)).status).toBe(200);
  });

  it.each([
    ["?wait=", "?wait=30", {}],
    ["Prefer", "", { prefer: "respond-async, wait=30" }],
    ["Prefer, as some write it", "", { prefer: 'Wait = "30"' }],
  ])("%s: answers as soon as the job ends", async (_, query, headers) => {
    const { id } = await submit(later);
    const began = Date.now();
    const asked = get(id, query, headers as Record<string, string>);
    await until(() => inside(mailbox("alice", channelOf(id)), () => true));
    await advanceTo(EPOCH + 60_000);
    const answer = await asked;
    expect([answer.status, answer.body.status]).toEqual([200, "completed"]);
    expect(Date.now() - began).toBeLessThan(5_000);
  });

  it("answers with the job as it stands when the wait is over", async () => {
    const { id } = await submit(later);
    const answer = await get(id, "?wait=0.05");
    expect([answer.status, answer.body.status]).toEqual([202, "scheduled"]);
  });

  it("the mailbox sleeps while callers wait, and they are answered", async () => {
    const { id } = await submit({ channel: "c", ...later });
    const asked = get(id, "?wait=30");
    await until(() => inside(mailbox("alice", "c"), (_, state) => state.getWebSockets().length === 1));
    await evict(mailbox("alice", "c"));
    await advanceTo(EPOCH + 60_000);
    expect(await asked).toMatchObject({ status: 200, body: { status: "completed" } });
  });

  it("many wait for one job, each is answered", async () => {
    const { id } = await submit(later);
    const asked = [...Array(10)].map(() => get(id, "?wait=30"));
    await advanceTo(EPOCH + 60_000);
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(Array(10).fill(200));
  });

  it("waits 60 seconds at most, and says so", async () => {
    const { id } = await submit();
    await ended(id);
    const answer = await get(id, "", { prefer: "wait=3600" });
    expect(answer.headers.get("preference-applied")).toBe("wait=60");
    expect((await get(id, "?wait=1e9")).status).toBe(200);
  });

  it.each(["x", "-1", "NaN"])("?wait=%s: refused", async (wait) => {
    const { id } = await submit();
    const answer = await call<ErrorBody>("GET", `/v1/jobs/${id}?wait=${wait}`);
    expect([answer.status, answer.body.error.param]).toEqual([400, "wait"]);
  });

  it("another tenant's job is not there, not to see and not to cancel", async () => {
    const { id } = await submit(later);
    for (const [method, path] of [
      ["GET", `/v1/jobs/${id}`],
      ["POST", `/v1/jobs/${id}/cancel`],
    ] as const) {
      const { status, body } = await call<ErrorBody>(method, path, undefined, { key: "sk-dev-bob" });
      expect([status, body.error.code, body.error.param]).toEqual([404, "job_not_found", "id"]);
    }
    expect((await get(id)).body.status).toBe("scheduled");
  });

  it("an id that was never given is not there", async () => {
    const { id } = await submit();
    const [, tag, channel] = /^(job_.{7}).*_(.*)$/.exec(id)!;
    const forged = [
      `${id}A`,
      id.slice(0, -1),
      id.replace("job_", "JOB_"),
      `${tag}000000000zzzzzz1_${channel}`,
      `${id.slice(0, 20)}zzzzzz${id.slice(26)}`,
      "job_",
      "x",
      "%E0%A4%A",
      "..%2f..",
      "a".repeat(5_000),
    ];
    for (const each of forged) {
      for (const [method, path] of [
        ["GET", `/v1/jobs/${each}`],
        ["POST", `/v1/jobs/${each}/cancel`],
      ] as const) {
        const { status, body } = await call<ErrorBody>(method, path);
        expect([each, method, status]).toEqual([each, method, 404]);
        expect(body.error.type).toBe("invalid_request_error");
      }
    }
  });

  it("in_progress -> queued: while a rate limit holds it back it waits", async () => {
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "5" });
    const { id } = await submit();
    const waiting = await until(async () => {
      const { pools } = await coordinator().inspect();
      return pools.some(({ depth }) => depth === 1) && (await get(id)).body;
    });
    expect(waiting).toMatchObject({ status: "queued", position: null, eta: { limited_by: "retry" } });
    world.upstream = () => completion("ok");
    await advanceTo(EPOCH + 6_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
  });

  it("a running job is in_progress after its mailbox slept", async () => {
    world.upstream = script().answer;
    const { id } = await submit({ channel: "c" });
    await until(() => world.calls.length === 1);
    await evict(mailbox("alice", "c"));
    expect((await get(id)).body).toMatchObject({ status: "in_progress", attempts: 1 });
    await call("POST", `/v1/jobs/${id}/cancel`);
  });
});

describe("cancelling", () => {
  const cancel = (id: string) => call("POST", `/v1/jobs/${id}/cancel`);

  it("queued -> cancelled: its ticket is gone, and it is never called", async () => {
    const { id } = await submit(later);
    expect(await tickets()).toBe(1);
    const { status, body } = await cancel(id);
    expect([status, body.status, body.error, body.response]).toEqual([200, "cancelled", null, null]);
    expect(body.ended_at).toBe(EPOCH / 1_000);
    await until(async () => (await tickets()) === 0);
    await advanceTo(EPOCH + 60_000);
    expect(await ended(id)).toMatchObject({ status: "cancelled", attempts: 0 });
    expect(world.calls).toHaveLength(0);
  });

  it("in_progress -> cancelled: the call is broken off, its late result refused", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit({ channel: "c" });
    await until(() => world.calls.length === 1);
    expect((await cancel(id)).body).toMatchObject({ status: "cancelled", attempts: 1 });
    await until(() => upstream.calls[0]?.brokenOff === true);
    await until(async () => (await tickets()) === 0);
    const late = await mailbox("alice", "c").commit([{ job: id, attempt: 1, startedAt: EPOCH, response: '{"late":true}', usage: null }]);
    expect(late).toEqual([{ ok: false, reason: "ended" }]);
    expect((await get(id)).body).toMatchObject({ status: "cancelled", response: null });
  });

  it("cancelled by one, seen by those who wait", async () => {
    const { id } = await submit(later);
    const asked = get(id, "?wait=30");
    await until(() => inside(mailbox("alice", channelOf(id)), () => true));
    await cancel(id);
    expect((await asked).body.status).toBe("cancelled");
  });

  it("completed -> completed: what has ended stays as it is", async () => {
    const { id } = await submit();
    const before = await ended(id);
    expect((await cancel(id)).body).toEqual(before);
    expect((await get(id)).body).toEqual(before);
  });

  it("twice is once", async () => {
    const { id } = await submit(later);
    const first = await cancel(id);
    world.now += 5_000;
    expect((await cancel(id)).body).toEqual(first.body);
  });

  it("frees the place for the next: the others are not disturbed", async () => {
    const jobs = await Promise.all([0, 1, 2].map(() => submit(later)));
    await cancel(jobs[1]!.id);
    await advanceTo(EPOCH + 60_000);
    expect((await Promise.all(jobs.map(({ id }) => ended(id)))).map(({ status }) => status)).toEqual([
      "completed",
      "cancelled",
      "completed",
    ]);
    const { body } = await call<QueueState>("GET", "/v1/queue", undefined, { key: "sk-dev-operator" });
    expect(body.pools.every(({ scheduled }) => scheduled === 0)).toBe(true);
  });
});

function channelOf(id: string): string {
  return atob(id.slice(id.lastIndexOf("_") + 1));
}
