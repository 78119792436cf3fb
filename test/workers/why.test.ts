import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import type { JobWhy } from "../../schemas/why.ts";
import { Coordinator } from "../support/entry.ts";
import { advanceTo, call, coordinator, ended, hashOf, inside, job, submit, until } from "../support/service.ts";
import { kill } from "../support/stand.ts";
import { completion, EPOCH, refusal, resetWorld, script, silence, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

const why = async (id: string, key?: string) => (await call<JobWhy>("GET", `/v1/jobs/${id}/why`, undefined, key ? { key } : {})).body;

/** Sets a pool with limits of its own, in place of wrangler.toml's. */
const pools = (pool: Record<string, unknown>) => {
  world.env.SLUICE_POOLS = JSON.stringify({ default: { rpm: 60, tpm: 60_000, burst_seconds: 4, ...pool } });
};

describe("why a job waits", () => {
  it("requests per minute: with what is free, what is ahead, and when", async () => {
    pools({});
    world.upstream = silence();
    for (let n = 0; n < 3; n++) await submit();
    await submit();
    const { id, position, eta } = await submit();
    expect(await why(id)).toEqual({
      object: "job.why",
      job: id,
      status: "queued",
      position: 2,
      ahead: { jobs: 1, tokens: expect.any(Number) },
      eta,
      limited_by: "rpm",
      reason: expect.stringMatching(
        /^1 job starts before this one \(all of this tenant\), and the pool "default" has 0 requests free of 60 a minute; /,
      ),
      pool: {
        id: "default",
        free: { requests: 0, tokens: expect.any(Number) },
        limits: { rpm: 60, tpm: 60_000, rpd: null, tpd: null, concurrency: null },
        in_flight: 3,
      },
      tenant: { id: "alice", in_flight: 3, queued: 2, weight: 1 },
      attempts: 0,
    });
    expect(position).toBe(2);
    expect((await call("GET", `/v1/jobs/${id}`)).body).toMatchObject({ position: 2, eta: { limited_by: "rpm" } });
  });

  it("tokens per minute, and places", async () => {
    pools({ tpm: 6_000, burst_seconds: 60 });
    world.upstream = silence();
    await submit({}, { max_completion_tokens: 5_000 });
    const { id } = await submit({ deadline: EPOCH / 1_000 + 600 }, { max_completion_tokens: 5_000 });
    expect(await why(id)).toMatchObject({ limited_by: "tpm", ahead: { jobs: 0, tokens: 0 }, deadline: EPOCH / 1_000 + 600 });
    await reset();
    pools({ concurrency: 1 });
    await submit();
    expect(await why((await submit()).id)).toMatchObject({ limited_by: "concurrency", pool: { limits: { concurrency: 1 }, in_flight: 1 } });
  });

  it("other tenants' turns", async () => {
    pools({});
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: await hashOf("sk-light"), tenant: "light", weight: 0.25 }]);
    world.upstream = silence();
    await call("POST", "/v1/jobs", { jobs: [...Array(20)].map(() => job()) });
    await submit({}, {}, "sk-light");
    const { id } = await submit({}, {}, "sk-light");
    const answer = await why(id, "sk-light");
    expect(answer).toMatchObject({ limited_by: "tenant_share", eta: { limited_by: "tenant_share" } });
    expect(answer.tenant).toEqual({ id: "light", in_flight: 0, queued: 2, weight: 0.25 });
    expect(answer.reason).toMatch(/of other tenants\), and tenants take turns by weight \(this one's is 0.25\)/);
  });

  it("the tenant's own cap, and the estimate waits for it", async () => {
    pools({});
    const key_sha256 = await hashOf("sk-capped");
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256, tenant: "capped", rpm: 2 }]);
    world.upstream = silence();
    for (let n = 0; n < 2; n++) await submit({}, {}, "sk-capped");
    const { id, eta } = await submit({}, {}, "sk-capped");
    const answer = await why(id, "sk-capped");
    expect(answer).toMatchObject({ limited_by: "tenant_share", eta });
    expect(eta!.p50).toBeGreaterThan(20);
    expect(answer.reason).toMatch(/its own limit \(2 requests a minute\)/);
  });

  it("its not_before", async () => {
    const { id } = await submit({ not_before: EPOCH / 1_000 + 90 });
    expect(await why(id)).toMatchObject({
      ...{ status: "scheduled", position: null, ahead: null, limited_by: "scheduled", not_before: EPOCH / 1_000 + 90 },
      reason: "The job is scheduled: it joins the queue in 90 seconds, at its not_before.",
    });
  });

  it("its next attempt", async () => {
    world.upstream = () => refusal(503, "busy");
    const { id } = await submit();
    const answer = await until(async () => {
      const found = await why(id);
      return found.limited_by === "retry" && found;
    });
    expect(answer).toMatchObject({ status: "queued", attempts: 1, position: null });
    expect(answer.retry_at).toBeGreaterThan(EPOCH / 1_000);
    const last = { attempt: 1, counted: true, status: 503, code: "busy", message: "refused: busy", times: 1 };
    expect(answer.last_failure).toEqual({ ...last, failed_at: EPOCH / 1_000, retry_at: answer.retry_at });
    expect(answer.reason).toMatch(/^Attempt 1 failed 0 seconds ago with 503 \(busy\): "refused: busy"\. The next call may start in /);
  });

  it("its next attempt, over a crash of the coordinator; the job itself says so too, until it has ended", async () => {
    world.upstream = () => refusal(503, "busy");
    const { id } = await submit();
    await until(async () => (await why(id)).last_failure);
    await kill(coordinator());
    const { last_failure } = await why(id);
    expect(last_failure).toMatchObject({ attempt: 1, code: "busy", failed_at: EPOCH / 1_000 });
    const shown = (await call<Job>("GET", `/v1/jobs/${id}`)).body;
    expect(shown).toMatchObject({ status: "queued", error: null, last_failure });
    const listed = (await call<{ data: Job[] }>("GET", "/v1/jobs")).body.data;
    expect(listed.find((each) => each.id === id)?.last_failure).toEqual(last_failure);
    world.upstream = () => completion("ok");
    await advanceTo(EPOCH + 2_000);
    expect(await ended(id)).not.toHaveProperty("last_failure");
    expect(await why(id)).not.toHaveProperty("last_failure");
  });

  it("429s alone", async () => {
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "20" });
    const { id } = await submit();
    for (let times = 1; times <= 3; times++) {
      await until(async () => (await why(id)).last_failure?.times === times);
      await advanceTo(world.now + 25_000 * times);
    }
    const answer = await until(async () => {
      const found = await why(id);
      return found.last_failure?.times === 4 && found;
    });
    expect(answer).toMatchObject({ attempts: 0, last_failure: { attempt: 4, counted: false, status: 429, code: "rate_limit_exceeded" } });
    expect(answer.reason).toMatch(
      /with 429 \(rate_limit_exceeded\): "refused: rate_limit_exceeded"\. All 4 calls so far failed in the same way; none of them counts as an attempt\./,
    );
  });

  it("its next attempt, as an older program wrote it", async () => {
    world.upstream = () => refusal(503, "busy");
    const { id } = await submit();
    await until(async () => (await why(id)).last_failure);
    await inside(coordinator(), (_, state) => state.storage.sql.exec("UPDATE tickets SET fixed = json_remove(fixed, '$.failure')"));
    await kill(coordinator());
    const answer = await why(id);
    expect(answer).not.toHaveProperty("last_failure");
    expect(answer.reason).toMatch(/^Attempt 1 did not succeed; the next may start in /);
  });

  it("upstream's silence", async () => {
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "20" });
    const { id } = await submit();
    const answer = await until(async () => {
      const found = await why(id);
      return found.limited_by === "retry" && found;
    });
    expect(answer).toMatchObject({ status: "queued", attempts: 0, position: null, pool: { held_until: expect.any(Number) } });
    expect(answer.reason).toMatch(
      /^Call 1 failed 0 seconds ago with 429 .* It does not count as an attempt\. The next call may start in 21 seconds/,
    );
  });

  it("the coordinator does not know of it yet", async () => {
    vi.spyOn(Coordinator.prototype, "enqueue").mockRejectedValue(new Error("unreachable"));
    const { id } = await submit();
    expect(await why(id)).toMatchObject({ status: "queued", pool: null, limited_by: "none", reason: expect.stringMatching(/on its way/) });
  });
});

describe("a job that does not wait", () => {
  it("runs, and then has ended", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit();
    await until(() => upstream.calls.length > 0);
    world.now += 3_000;
    expect(await why(id)).toMatchObject({
      status: "in_progress",
      position: null,
      eta: null,
      limited_by: "none",
      attempts: 1,
      pool: { in_flight: 1 },
    });
    expect((await why(id)).reason).toBe("The job has been running for 3 seconds: attempt 1.");
    upstream.finish();
    await ended(id);
    expect(await why(id)).toMatchObject({
      status: "completed",
      pool: null,
      tenant: null,
      attempts: 1,
      reason: "The job has ended: completed.",
    });
  });

  it("expired", async () => {
    const { id } = await submit({ not_before: EPOCH / 1_000 + 60, deadline: EPOCH / 1_000 + 61 });
    await advanceTo(EPOCH + 61_000);
    await ended(id);
    expect(await why(id)).toMatchObject({ status: "expired", deadline: EPOCH / 1_000 + 61 });
  });
});

describe("who may ask", () => {
  it("another tenant's job is not there, as for the job itself", async () => {
    world.upstream = () => completion("ok");
    const { id } = await submit();
    const own = await call<ErrorBody>("GET", "/v1/jobs/job_x/why");
    for (const path of [`/v1/jobs/${id}`, `/v1/jobs/${id}/why`]) {
      const { status, body } = await call<ErrorBody>("GET", path, undefined, { key: "sk-dev-bob" });
      expect([status, body.error.code]).toEqual([404, "job_not_found"]);
    }
    expect([own.status, own.body.error.code]).toEqual([404, "job_not_found"]);
    expect((await call("GET", `/v1/jobs/${id}/why`, undefined, { key: "sk-dev-operator" })).status).toBe(403);
  });

  it("a browser's token is told its job's place and what keeps it, and no more", async () => {
    pools({});
    world.upstream = silence();
    for (let n = 0; n < 4; n++) await submit({}, {}, "sk-dev-bob");
    await submit({ channel: "c" });
    const { id } = await submit({ channel: "c" });
    const { body: made } = await call<{ token: string }>("POST", "/v1/tokens", { jobs: [id] });
    const { eta, limited_by, position, reason, ...rest } = await why(id, made.token);
    expect({ eta, limited_by, position }).toEqual((({ eta, limited_by, position }) => ({ eta, limited_by, position }))(await why(id)));
    expect(position).toBeGreaterThan(1);
    expect(reason).not.toMatch(/60|tenant|default/);
    expect(rest).toEqual({ object: "job.why", job: id, status: "queued", ahead: null, pool: null, tenant: null, attempts: 0 });
  });

  it("a browser's token is not told what upstream says of the account, with the job neither", async () => {
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "20" });
    const { id } = await submit({ channel: "c" });
    await until(async () => (await why(id)).last_failure);
    const { body: made } = await call<{ token: string }>("POST", "/v1/tokens", { channels: ["c"] });
    const told = { status: 429, counted: false, code: null, message: null };
    expect((await why(id, made.token)).last_failure).toMatchObject(told);
    const read = async <T>(path: string) => (await call<T>("GET", path, undefined, { key: made.token })).body;
    expect((await read<Job>(`/v1/jobs/${id}`)).last_failure).toMatchObject(told);
    expect((await read<{ data: Job[] }>("/v1/jobs")).data[0]!.last_failure).toMatchObject(told);
  });
});
