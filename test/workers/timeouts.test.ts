/** Timeouts that a job sets: for its wait, and for each of its upstream calls. Those of calls run in real time, so they are short here. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { advanceTo, call, crash, ended, job, pool, submit, until, world } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { chunksOf, completion, EPOCH, resetWorld, script, silence } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const NOW = EPOCH / 1_000;

/** An upstream that begins to answer and then falls silent. */
function stalled() {
  const upstream = script();
  upstream.send(chunksOf("x")[0]);
  return upstream.answer;
}

describe("for the queue", () => {
  it("is a deadline, counted from when the job could start; an earlier one of its own stays", async () => {
    const later = { not_before: NOW + 60 };
    expect(await submit({ ...later, timeouts: { queue: 10 } })).toMatchObject({ status: "scheduled", deadline: NOW + 70 });
    expect(await submit({ ...later, timeouts: { queue: 10 }, deadline: NOW + 65 })).toMatchObject({ deadline: NOW + 65 });
    expect(await submit({ ...later, timeouts: { queue: 10 }, deadline: NOW + 80 })).toMatchObject({ deadline: NOW + 70 });
  });

  it("over -> expired, exactly then, and never called", async () => {
    world.env.SLUICE_POOLS = JSON.stringify({ default: { rpm: 600, tpm: 1e6, concurrency: 1 } });
    world.upstream = silence();
    await submit();
    await until(() => world.calls.length === 1);
    const { id } = await submit({ timeouts: { queue: 30 }, deadline_policy: "best_effort" });
    await advanceTo(EPOCH + 29_999);
    expect((await pool("default")).depth).toBe(1);
    await advanceTo(EPOCH + 30_000);
    expect(await ended(id)).toMatchObject({ status: "expired", attempts: 0 });
    expect(world.calls).toHaveLength(1);
  });
});

describe("for a call", () => {
  it("no response headers in time: broken off, of unknown outcome, and the job's policy decides; through a crash too", async () => {
    world.upstream = silence();
    const { id } = await submit({ timeouts: { first_byte: 0.05 }, retry: "never", not_before: NOW + 60 });
    await crash();
    await advanceTo(EPOCH + 60_000);
    const failed = await until(async () => {
      await advanceTo(world.now + 1_000);
      const { body } = await call("GET", `/v1/jobs/${id}`);
      return body.status === "failed" && body;
    });
    expect(failed).toMatchObject({ attempts: 1, error: { code: "unknown_outcome" } });
    expect(world.calls).toHaveLength(1);
  });

  it("that a client set for itself says nothing of upstream: the others go on", async () => {
    const quiet = silence();
    world.upstream = ({ body }) => (JSON.stringify(body).includes("hasty") ? quiet() : completion("fine"));
    for (let n = 0; n < 6; n++) {
      const { id } = await submit({ timeouts: { first_byte: 0.02 }, retry: "never" }, { user: `hasty ${n}` });
      expect(await ended(id)).toMatchObject({ status: "failed" });
    }
    expect((await pool()).condition.state).toBe("normal");
    expect(await ended((await submit()).id)).toMatchObject({ status: "completed" });
  });

  it("is made again where that is safe", async () => {
    const quiet = silence();
    world.upstream = () => (world.calls.length === 1 ? quiet() : completion("at last"));
    const { id } = await submit({ timeouts: { first_byte: 0.05 } });
    const done = await until(async () => {
      await advanceTo(world.now + 1_000);
      const { body } = await call("GET", `/v1/jobs/${id}`);
      return body.status === "completed" && body;
    });
    expect(done).toMatchObject({ attempts: 2, possible_duplicates: 1 });
  });

  it("whole: an answer that goes on too long is broken off, what was delivered is kept and nothing is called again", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const client = await connect();
    const { id } = await submit({ timeouts: { total: 0.3 } });
    client.send({ type: "subscribe", jobs: [id], deltas: true });
    await until(() => upstream.calls.length === 1);
    upstream.say("a part");
    await until(() => upstream.calls[0]!.brokenOff);
    const failed = await until(async () => {
      await advanceTo(world.now + 1_000);
      const { body } = await call("GET", `/v1/jobs/${id}`);
      return body.status === "failed" && body;
    });
    expect(failed.error).toMatchObject({ code: "unknown_outcome" });
    expect(upstream.calls).toHaveLength(1);
  });

  const failedAt = (id: string) =>
    until(async () => {
      await advanceTo(world.now + 61_000);
      const { body } = await call("GET", `/v1/jobs/${id}`);
      return body.status === "failed" && body;
    });

  it.each([
    ["before its headers", "upstream_timeout", { first_byte: 0.05 }, () => silence()],
    ["after it has begun", "stream_stalled", { idle: 0.05 }, () => stalled()],
    ["too long as a whole", "upstream_timeout", { total: 0.05 }, () => stalled()],
  ])("silent %s, time and again: the job fails after three calls, for each may have been paid for", async (_, code, timeouts, upstream) => {
    world.upstream = upstream();
    const { id } = await submit({ timeouts, retry: "always" });
    expect(await failedAt(id)).toMatchObject({ attempts: 3, possible_duplicates: 2, error: { code } });
    expect(world.calls).toHaveLength(3);
  });

  it("a stream that falls silent once it has begun says nothing of upstream: the others go on", async () => {
    world.env.SLUICE_TIMEOUTS = JSON.stringify({ idle: 0.05 });
    const answer = stalled();
    world.upstream = (asked) => (JSON.stringify(asked.body).includes("thinker") ? answer(asked) : completion("fine"));
    for (let n = 0; n < 6; n++) {
      const { id } = await submit({ retry: "never" }, { user: `thinker ${n}` });
      expect(await ended(id)).toMatchObject({ status: "failed" });
    }
    expect((await pool()).condition.state).toBe("normal");
    expect(await ended((await submit()).id)).toMatchObject({ status: "completed" });
  });

  it("a stream of which comments alone come is alive", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit({ timeouts: { idle: 0.5 } });
    upstream.say("well");
    for (let n = 0; n < 40; n++) {
      // A real wait, as `idle` runs in real time: twice as long in all.
      await scheduler.wait(25);
      upstream.hum();
    }
    upstream.finish();
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
    expect(upstream.calls).toHaveLength(1);
  });

  it.each([{ queue: 0 }, { first_byte: -1 }, { idle: 0 }, { idle: 3_601 }, { total: 3_601 }, { queue: 604_801 }, { whole: 5 }, "soon"])(
    "%j: refused",
    async (timeouts) => {
      const { body, status } = await call<ErrorBody>("POST", "/v1/jobs", job({ timeouts }));
      expect(status).toBe(400);
      expect(body.error).toMatchObject({ code: "invalid_job", param: expect.stringMatching(/^timeouts/) });
    },
  );
});
