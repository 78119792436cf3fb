import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { classify } from "../../durable-objects/dispatcher/classify.ts";
import { openUpstream } from "../../durable-objects/dispatcher/upstream.ts";
import type { Env } from "../../platform/objects.ts";
import type { Held, Lease, SettleBatch } from "../../schemas/rpc.ts";
import { advanceTo, call, coordinator, dispatcher, drained, ended, job, mailbox, pool, submit, until, world } from "../support/service.ts";
import { chunksOf, completion, EPOCH, gated, refusal, resetWorld, script, stream } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const submitMany = async (count: number, more: Record<string, unknown> = {}) => {
  const jobs = Array.from({ length: count }, () => job({ channel: "c", ...more }));
  const { body } = await call<{ data: { id: string }[] }>("POST", "/v1/jobs", { jobs });
  return body.data.map(({ id }) => id);
};

describe("six calls of one object wait for headers, never more", () => {
  it("forty jobs: seven dispatchers, named in order, six calls each at the most", async () => {
    const gate = gated();
    const ids = await submitMany(40);
    await until(() => world.waiting === 40);
    const names = [0, 1, 2, 3, 4, 5, 6].map((index) => `disp-wnam-0${index}`);
    expect([...world.mostWaitingBy]).toEqual(expect.arrayContaining(names.slice(0, 6).map((name) => [name, 6])));
    expect([...world.mostWaitingBy.keys()].sort()).toEqual(names);
    gate.open = true;
    for (const id of ids) expect((await ended(id)).status).toBe("completed");
    expect(world.mostWaiting).toBe(40);
    expect(Math.max(...world.mostWaitingBy.values())).toBe(6);
  });

  it("no more dispatchers than are allowed: the rest queues in them, and six still is the most", async () => {
    world.env.SLUICE_MAX_DISPATCHERS = "2";
    const gate = gated();
    const ids = await submitMany(40);
    await until(() => world.waiting === 12);
    expect((await pool()).in_flight).toBe(40);
    gate.open = true;
    for (const id of ids) await ended(id);
    expect(Object.fromEntries(world.mostWaitingBy)).toEqual({ "disp-wnam-00": 6, "disp-wnam-01": 6 });
    expect(world.calls).toHaveLength(40);
  });

  it("a slot comes free with the headers, while the body streams on", async () => {
    world.env.SLUICE_MAX_DISPATCHERS = "1";
    const upstream = script();
    world.upstream = upstream.answer;
    const ids = await submitMany(20);
    await until(() => world.calls.length === 20);
    expect(world.mostWaiting).toBeLessThanOrEqual(6);
    expect((await dispatcher().report()).held).toHaveLength(20);
    upstream.say("x");
    upstream.finish();
    for (const id of ids) expect((await ended(id)).status).toBe("completed");
  });

  it("a slot comes free when the call is refused, breaks, or is broken off", async () => {
    world.env.SLUICE_MAX_DISPATCHERS = "1";
    const gate = gated(() => {
      if (world.calls.length % 2) throw new Error("reset");
      return refusal(400, "no");
    });
    const ids = await submitMany(12, { retry: "never" });
    await until(() => world.waiting === 6);
    for (const id of ids.slice(0, 3)) await call("POST", `/v1/jobs/${id}/cancel`);
    await until(() => world.calls.length === 9);
    gate.open = true;
    await until(() => world.calls.length === 12);
    expect(world.mostWaiting).toBe(6);
  });
});

describe("breaking off", () => {
  it("in_progress -> cancelled: upstream's request is aborted before its headers", async () => {
    let aborted = false;
    gated(() => {
      aborted = true;
      return completion("late");
    });
    const { id } = await submit();
    await until(() => world.waiting === 1);
    expect((await call("POST", `/v1/jobs/${id}/cancel`)).body.status).toBe("cancelled");
    await until(() => aborted);
    await drained();
    expect(await ended(id)).toMatchObject({ status: "cancelled", response: null, attempts: 1 });
    expect(world.calls).toHaveLength(1);
  });

  it("in_progress -> cancelled: upstream's stream is broken off", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit();
    await until(() => upstream.calls.length === 1);
    upstream.say("half");
    await call("POST", `/v1/jobs/${id}/cancel`);
    await until(() => upstream.calls[0]!.brokenOff);
    await drained();
    expect((await ended(id)).status).toBe("cancelled");
  });

  it("a job that is cancelled while it waits for a slot is never called", async () => {
    world.env.SLUICE_MAX_DISPATCHERS = "1";
    const gate = gated();
    const ids = await submitMany(7);
    await until(() => world.waiting === 6);
    // Upstream has not seen the last one.
    await call("POST", `/v1/jobs/${ids[6]}/cancel`);
    await until(async () => (await coordinator().locate([ids[6]!]))[0] === null || gate.open);
    gate.open = true;
    await drained();
    expect(world.calls).toHaveLength(6);
    expect(await ended(ids[6]!)).toMatchObject({ status: "cancelled" });
  });
});

describe("leases", () => {
  const address = { tenant: "alice", channel: "c" };
  const lease = (id: string, attempt: number): Lease => ({ job: id, mailbox: address, attempt, waits: 0, unknown: 0 });
  /** A job that the coordinator does not start: the test hands out its leases. */
  const dormant = async () => (await submit({ channel: "c", retry: "always", not_before: EPOCH / 1_000 + 3_600 })).id;

  it("a lease with a newer attempt replaces the older call; an older or the same one changes nothing", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const id = await dormant();
    await dispatcher().start([lease(id, 2)]);
    await until(() => upstream.calls.length === 1);
    await dispatcher().start([lease(id, 2), lease(id, 1)]);
    expect((await dispatcher().report()).held).toEqual([{ job: id, attempt: 2 }]);
    await dispatcher().start([lease(id, 3)]);
    await until(() => upstream.calls.length === 2);
    await until(() => upstream.calls[0]!.brokenOff);
    expect((await dispatcher().report()).held).toEqual([{ job: id, attempt: 3 }]);
    expect(upstream.calls[1]!.brokenOff).toBe(false);
    upstream.say("x");
    upstream.finish();
    expect(await ended(id)).toMatchObject({ status: "completed" });
    expect(upstream.calls).toHaveLength(2);
  });

  it("an older lease that arrives late is not opened: upstream is not called", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const id = await dormant();
    await dispatcher(0).start([lease(id, 3)]);
    await until(() => upstream.calls.length === 1);
    await dispatcher(1).start([lease(id, 2)]);
    await until(async () => (await dispatcher(1).report()).held.length === 0);
    expect(upstream.calls).toHaveLength(1);
  });

  it("names its incarnation the same in start and report", async () => {
    const id = await dormant();
    const { boot } = await dispatcher().start([lease(id, 1)]);
    expect((await dispatcher().report()).boot).toBe(boot);
    expect(boot).not.toBe((await dispatcher(1).report()).boot);
  });

  it("heartbeat: a call whose lease the coordinator does not know is given up", async () => {
    world.heartbeatMs = 20;
    const upstream = script();
    world.upstream = upstream.answer;
    const id = await dormant();
    await dispatcher().start([lease(id, 1)]);
    await until(() => upstream.calls.length === 1);
    await until(() => upstream.calls[0]!.brokenOff);
    await until(async () => (await dispatcher().report()).held.length === 0);
    expect((await mailbox("alice", "c").get(id))!.response).toBeNull();
  });

  it("heartbeat: names what is held for as long as it is held, and a coordinator out of reach stops nothing", async () => {
    world.heartbeatMs = 20;
    const beats: unknown[][] = [];
    world.between.set("coordinator.heartbeat", (go, args) => {
      beats.push(args);
      if (args[0] === "disp-wnam-01") return Promise.resolve({ stop: [] });
      if (beats.length < 6) throw new Error("out of reach");
      return go();
    });
    const beatsOf = (dispatcher: string) => beats.filter(([name]) => name === dispatcher).length;
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit();
    await until(() => beats.length >= 10);
    const { boot } = await dispatcher().report();
    for (const beat of beats) expect(beat).toEqual(["disp-wnam-00", boot, [{ job: id, attempt: 1 }], []]);
    upstream.say("x");
    upstream.finish();
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
    await drained();
    // Another dispatcher serves as the clock: while it beats six times, at the same interval, this one has nothing to report.
    world.upstream = script().answer;
    await dispatcher(1).start([lease(await dormant(), 1)]);
    const seen = beats.length;
    await until(() => beatsOf("disp-wnam-01") >= 6);
    // One heartbeat may have been in flight.
    expect(beats.slice(seen).filter(([name]) => name === "disp-wnam-00").length).toBeLessThanOrEqual(1);
  });
});

describe("settling", () => {
  it("a settlement is repeated until the coordinator takes it", async () => {
    let refused = 0;
    world.between.set("coordinator.settle", (go) => {
      // More than one round of tries.
      if (refused < 6) {
        refused++;
        throw new Error("not now");
      }
      return go();
    });
    const { id } = await submit();
    expect((await ended(id)).status).toBe("completed");
    await until(() => refused === 6, 2_000);
    expect((await dispatcher().report()).held).toEqual([{ job: id, attempt: 1 }]);
    expect((await pool()).in_flight).toBe(1);
    await until(async () => (await pool()).in_flight === 0, 2_000);
    await drained();
    expect((await dispatcher().report()).held).toEqual([]);
    expect(world.calls).toHaveLength(1);
  });

  it("many settlements share a message", async () => {
    let messages = 0;
    let commits = 0;
    const gate = { open: false };
    const { calls: age } = world;
    world.between.set("mailbox.commit", async (go) => {
      const committed = await go();
      commits++;
      return committed;
    });
    world.between.set("coordinator.settle", async (go) => {
      messages++;
      // Polls until a step of the test ends the wait, not the passing of time; a new world ends it if that step never comes.
      while (!gate.open && world.calls === age) await scheduler.wait(2);
      return go();
    });
    await submitMany(60);
    await until(() => commits === 60, 2_000);
    // A dispatcher that answers has heard of its commits: all the rest wait behind its first message, however long that took.
    for (let index = 0; index < 10; index++) await dispatcher(index).report();
    gate.open = true;
    await drained();
    // Ten dispatchers at most, each with a first message and one for the rest.
    expect(messages).toBeLessThanOrEqual(20);
  });

  it("a result is not thrown away because its mailbox could not be reached for a while", async () => {
    let refused = 0;
    world.between.set("mailbox.commit", (go) => {
      if (refused++ < 6) throw new Error("not now");
      return go();
    });
    const { id } = await submit();
    await until(() => refused >= 7, 2_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(1);
  });
});

describe("a request that cannot be written", () => {
  it("fails before anything is sent: no connection broke, and another try would end alike", async () => {
    const upstream = openUpstream({ OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: "http://127.0.0.1:1" } as unknown as Env, () => world.now);
    const unwritable = { toJSON: () => JSON.stringify(1n) };
    const { signal } = new AbortController();
    const answer = await upstream.call({ model: "m", messages: unwritable }, signal, 1_000, () => {});
    expect(answer).toMatchObject({ ok: false, failure: { status: 400, code: "request_unsendable", cause: "unsent" } });
    expect(!answer.ok && classify(answer.failure, false)).toMatchObject({ kind: "fatal", unsent: true });
  });

  it("is told from an upstream that cannot be reached", async () => {
    const upstream = openUpstream({ OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: "http://127.0.0.1:1" } as unknown as Env, () => world.now);
    const answer = await upstream.call({ model: "m", messages: [] }, new AbortController().signal, 1_000, () => {});
    expect(answer).toMatchObject({ ok: false, failure: { status: null, cause: "network" } });
  });
});

describe("a probe", () => {
  it("whose answer has begun lets its pool run, though it goes on; headers with nothing but an error behind them do not", async () => {
    const upstream = script();
    const broke = { error: { message: "pay first", type: "insufficient_quota", code: "insufficient_quota", param: null } };
    world.upstream = (called) => {
      if (world.calls.length === 1) return refusal(429, "insufficient_quota");
      if (world.calls.length === 2) return stream([broke]);
      return world.calls.length === 3 ? upstream.answer(called) : completion("after it");
    };
    const jobs = [await submit(), await submit({ not_before: EPOCH / 1_000 + 1 })];
    const halted = async (probes: number) => {
      const { failed_probes, state } = (await pool()).condition;
      return state === "halted" && failed_probes === probes;
    };
    await until(() => halted(0));
    await advanceTo(EPOCH + 31_000);
    await until(() => halted(1));
    await advanceTo(EPOCH + 95_000);
    await until(() => world.calls.length === 3);
    upstream.say("begun");
    await until(() => world.calls.length === 4);
    upstream.finish();
    for (const { id } of jobs) expect(await ended(id)).toMatchObject({ status: "completed" });
  });
});

describe("an endpoint that sends no usage", () => {
  it("its whole answer is taken, and not called again", async () => {
    world.upstream = () => stream([...chunksOf("whole"), "[DONE]"]);
    const { id } = await submit();
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, usage: null });
    expect(world.calls).toHaveLength(1);
  });
});

describe("a lease that the coordinator forgot, and gave again", () => {
  it("what became of the first is no end of the second: the job is called after all", async () => {
    world.heartbeatMs = 20;
    const gate = { open: false, opens: 0 };
    const { calls: age } = world;
    world.between.set("mailbox.open", async (go) => {
      gate.opens++;
      // Polls, as above: a step of the test ends the wait.
      while (!gate.open && world.calls === age) await scheduler.wait(2);
      return go();
    });
    let beats = 0;
    world.between.set("coordinator.heartbeat", async (_, args) => {
      beats++;
      return { stop: beats === 1 ? (args[2] as Held[]) : [] };
    });
    const { id } = await submit({ channel: "c" });
    await until(() => gate.opens >= 1 && beats >= 1);
    await dispatcher().start([{ job: id, mailbox: { tenant: "alice", channel: "c" }, attempt: 1, waits: 0, unknown: 0 }]);
    gate.open = true;
    await until(async () => {
      await advanceTo(world.now + 1_000);
      return (await call("GET", `/v1/jobs/${id}`)).body.status === "completed";
    });
    expect(world.calls).toHaveLength(1);
  });
});

describe("upstream's word on another try", () => {
  it("a failure that it says would come again is not called again", async () => {
    world.upstream = () => refusal(409, "broken", { "x-should-retry": "false" });
    const { id } = await submit();
    expect(await ended(id)).toMatchObject({ status: "failed", attempts: 1, error: { status: 409, code: "broken" } });
    expect(world.calls).toHaveLength(1);
  });

  it("of a server that failed it means not so soon: an outage does not fail what waits", async () => {
    world.upstream = () =>
      world.calls.length === 1
        ? refusal(503, "server_is_overloaded", { "x-should-retry": "false" }, "server_error")
        : completion("here again");
    const { id } = await submit();
    await until(async () => world.calls.length === 1 && (await pool()).depth === 1);
    await advanceTo(EPOCH + 29_999);
    expect(world.calls).toHaveLength(1);
    await advanceTo(EPOCH + 32_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 2, possible_duplicates: 0 });
  });
});

describe("upstream's name for a call that ended badly", () => {
  const NAMED = { "x-request-id": "req_upstream" };
  const cut = () => new Response('data: {"id":"x","choices":[]}\n\n', { headers: { "content-type": "text/event-stream", ...NAMED } });

  it("refused -> it is in the job's error", async () => {
    world.upstream = () => refusal(400, "broken", NAMED);
    const { id } = await submit();
    expect((await ended(id)).error).toMatchObject({ code: "broken", upstream_request_id: "req_upstream" });
  });

  it("cut in the middle -> the coordinator hears it, and tells it with the retry", async () => {
    const settled: unknown[] = [];
    world.between.set("coordinator.settle", (go, [batch]) => {
      settled.push(...(batch as SettleBatch).settlements.map(({ outcome }) => outcome));
      return go();
    });
    world.upstream = cut;
    await submit();
    await until(() => settled.length > 0);
    expect(settled[0]).toMatchObject({ kind: "retryable", unknown: true, problem: { upstream_request_id: "req_upstream" } });
  });

  it("without one, or without an answer, nothing is said of it", async () => {
    world.upstream = () => refusal(400, "broken");
    const { id } = await submit();
    const error = { status: 400, type: "invalid_request_error", code: "broken", message: "refused: broken", param: null };
    expect((await ended(id)).error).toEqual(error);
  });
});
