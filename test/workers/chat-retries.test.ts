import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { RateLimitError } from "openai";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Desk } from "../../durable-objects/mailbox/desk.ts";
import { RaisedLimits } from "../../platform/raised.ts";
import { readSettings } from "../../platform/settings.ts";
import { accept } from "../../workers/ingress/accept.ts";
import { jobOf, params, sdk } from "../support/sdk.ts";
import { advanceTo, call, crash, hashOf, inside, mailboxOf, send, until } from "../support/service.ts";
import { completion, EPOCH, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

/** Waits until the mailbox knows that a job's caller has its answer. */
const collected = (id: string) =>
  until(() =>
    inside(mailboxOf(id), (_, { storage }) => storage.sql.exec("SELECT 1 FROM calls WHERE sent_at IS NULL").toArray().length === 0),
  );

describe("the connection breaks", () => {
  /** Breaks off a call once upstream is at work on it; `again` is the retry. */
  async function broken(stream: boolean) {
    const upstream = script();
    world.upstream = upstream.answer;
    const controller = new AbortController();
    const body = JSON.stringify({ ...params, stream });
    const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
    const first = send("/v1/chat/completions", { method: "POST", headers, body, signal: controller.signal });
    const gone = first.then((response) => response.text()).catch(() => "gone");
    upstream.say("Once ");
    await until(() => world.calls.length === 1);
    const list = await call<{ data: { id: string }[] }>("GET", "/v1/jobs");
    const { id } = list.body.data[0]!;
    await until(() => inside(mailboxOf(id), (_, state) => state.getWebSockets().length === 1));
    controller.abort();
    await gone;
    const again = (count = 1, signal?: AbortSignal) =>
      send("/v1/chat/completions", {
        method: "POST",
        headers: { ...headers, "x-stainless-retry-count": String(count) },
        body,
        ...(signal && { signal }),
      });
    const anew = () => send("/v1/chat/completions", { method: "POST", headers, body });
    return { ...upstream, id, again, anew, body, headers };
  }
  const followers = (id: string, count: number) =>
    until(() => inside(mailboxOf(id), (_, { storage }) => storage.sql.exec("SELECT 1 FROM followers").toArray().length === count));
  /** Waits until not only the caller's socket is gone, but the mailbox knows it, and since when. */
  const alone = (id: string) => followers(id, 0);
  const statusOf = async (id: string) => (await call("GET", `/v1/jobs/${id}`)).body.status;
  const ring = async (id: string, at: number) => {
    world.now = at;
    await runDurableObjectAlarm(mailboxOf(id));
  };

  it("the retry gets the same job, upstream is called once", async () => {
    const { again, finish, id, say } = await broken(false);
    const answer = again();
    say("upon");
    finish();
    const response = await answer;
    expect(jobOf(response)).toBe(id);
    expect(((await response.json()) as { choices: { message: { content: string } }[] }).choices[0]!.message.content).toBe("Once upon");
    expect(world.calls).toHaveLength(1);
  });

  it("a streamed one gets its stream from the start", async () => {
    const { again, finish, id, say } = await broken(true);
    await alone(id);
    say("upon");
    const response = await again();
    expect(jobOf(response)).toBe(id);
    finish();
    const text = await response.text();
    expect(text.indexOf("Once ")).toBeLessThan(text.indexOf("upon"));
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(world.calls).toHaveLength(1);
  });

  it("the job ended while nobody was there -> the retry gets its answer; the next call with that body is a new one", async () => {
    const { again, anew, finish, id } = await broken(false);
    finish();
    await until(async () => (await statusOf(id)) === "completed");
    const answered = await again();
    expect(jobOf(answered)).toBe(id);
    expect(answered.headers.get("x-ratelimit-limit-requests")).toBe("500");
    expect(Number(answered.headers.get("x-ratelimit-remaining-tokens"))).toBeGreaterThan(0);
    world.upstream = () => completion("another");
    await until(async () => jobOf(await anew()) !== id);
  });

  it("over the last bytes of an answer that was sent whole -> the retry gets it again, and so does the retry of that one", async () => {
    const { again, finish, id } = await broken(false);
    finish();
    const answer = await (await again()).text();
    await collected(id);
    world.now += 8_000;
    expect(await (await again(2)).text()).toBe(answer);
    await collected(id);
    world.now += 8_000;
    const third = await again(3);
    expect(jobOf(third)).toBe(id);
    expect(await third.text()).toBe(answer);
    expect(world.calls).toHaveLength(1);
  });

  it("a retry that comes later than SDKs retry is a new call", async () => {
    const { again, finish, id } = await broken(false);
    finish();
    await (await again()).text();
    await collected(id);
    world.now += 10_001;
    world.upstream = () => completion("another");
    expect(jobOf(await again(2))).not.toBe(id);
  });

  it("the retry of a call that was refused is no retry of another's that was answered", async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: await hashOf("sk-dev-alice"), tenant: "alice", max_queued: 1 }]);
    const { client, sent } = sdk({ maxRetries: 0 });
    const retry = () => client.chat.completions.create(params, { headers: { "x-stainless-retry-count": "1" } });
    const upstream = script();
    world.upstream = upstream.answer;
    const first = client.chat.completions.create(params);
    await until(() => world.calls.length === 1);
    await expect(client.chat.completions.create(params)).rejects.toMatchObject({ code: "queue_full" });
    upstream.finish();
    await first;
    await collected(jobOf(sent.at(-1)!.response));
    world.upstream = () => completion("another");
    expect((await retry()).choices[0]!.message.content).toBe("another");
    expect(world.calls).toHaveLength(2);
    await collected(jobOf(sent.at(-1)!.response));
    expect((await retry()).choices[0]!.message.content).toBe("another");
    expect(world.calls).toHaveLength(2);
  });

  it("everything dies in between -> the retry still finds it", async () => {
    const { again, id } = await broken(false);
    await crash();
    world.upstream = () => completion("in the end");
    const response = again();
    await until(async () => {
      await advanceTo(world.now + 60_000);
      return (await statusOf(id)) === "completed";
    });
    expect(jobOf(await response)).toBe(id);
  });

  it("nobody comes back within half a minute -> cancelled, and upstream's call is broken off", async () => {
    const { calls, id } = await broken(false);
    await alone(id);
    await ring(id, EPOCH + 29_000);
    expect(await statusOf(id)).toBe("in_progress");
    await ring(id, EPOCH + 31_000);
    expect(await statusOf(id)).toBe("cancelled");
    await until(() => calls[0]!.brokenOff);
  });

  it("retry upon retry, each broken off within moments -> the same job all the time", async () => {
    const { again, finish, id } = await broken(false);
    for (const count of [1, 2, 3]) {
      world.now += 500;
      const controller = new AbortController();
      const gone = again(count, controller.signal).catch(() => null);
      await followers(id, 1);
      controller.abort();
      await gone;
      await alone(id);
    }
    const answer = again(4);
    finish();
    expect(jobOf(await answer)).toBe(id);
    expect(world.calls).toHaveLength(1);
  });

  it("it was given to a retry that went away before it began to wait -> the next retry gets it", async () => {
    const { again, finish, id } = await broken(false);
    await alone(id);
    world.between.set("mailbox.follow", () => {
      throw new Error("broken off");
    });
    const controller = new AbortController();
    const gone = again(1, controller.signal).catch(() => null);
    await until(() => inside(mailboxOf(id), async (_, { storage }) => (await storage.getAlarm()) !== null));
    controller.abort();
    await gone;
    world.between.clear();
    const answer = again(2);
    finish();
    expect(jobOf(await answer)).toBe(id);
    expect(world.calls).toHaveLength(1);
  });

  it("an alarm rings while a retry is about to wait, who never does -> cancelled half a minute after that", async () => {
    const { id } = await broken(false);
    await alone(id);
    world.now += 10_000;
    await inside(mailboxOf(id), (object, { storage }) => {
      const { body } = storage.sql.exec<{ body: string }>("SELECT body FROM calls").one();
      (object as unknown as { desk: Desk }).desk.calls.adopt({ body, retried: true, stream: false, onDisconnect: "cancel" }, "n");
    });
    await ring(id, world.now + 1_000);
    const due = await inside(mailboxOf(id), (_, { storage }) => storage.getAlarm());
    await ring(id, due!);
    expect(world.now).toBeLessThanOrEqual(EPOCH + 41_000);
    expect(await statusOf(id)).toBe("cancelled");
  });

  it("somebody came back -> not cancelled", async () => {
    const { again, finish, id } = await broken(false);
    await alone(id);
    const answer = again();
    // Waits for more than the socket: the clock's jump would also use up the time to subscribe.
    await followers(id, 1);
    await ring(id, EPOCH + 31_000);
    expect(await statusOf(id)).toBe("in_progress");
    finish();
    expect((await answer).status).toBe(200);
  });

  it("two callers sent the same body and both come back -> each gets a job of its own", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(params) };
    const controllers = [new AbortController(), new AbortController()];
    const gone = controllers.map(({ signal }) => send("/v1/chat/completions", { ...init, signal }).catch(() => null));
    await until(() => world.calls.length === 2);
    for (const each of controllers) each.abort();
    await Promise.all(gone);
    const again = { ...init, headers: { ...headers, "x-stainless-retry-count": "1" } };
    const answers = [0, 1].map(() => send("/v1/chat/completions", again));
    upstream.say("x");
    upstream.finish();
    const jobs = (await Promise.all(answers)).map(jobOf);
    expect(new Set(jobs).size).toBe(2);
    expect(world.calls).toHaveLength(2);
  });

  it("a program that does not say that it retries gets the same job too, once its connection is known to be gone", async () => {
    const { body, finish, headers, id } = await broken(false);
    await alone(id);
    const answer = send("/v1/chat/completions", { method: "POST", headers, body });
    finish();
    expect(jobOf(await answer)).toBe(id);
    expect(world.calls).toHaveLength(1);
  });

  it("the same body while another waits for its answer, or has it -> a job of its own", async () => {
    world.upstream = () => completion("mine");
    const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
    const ask = () => send("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(params) });
    const together = (await Promise.all([ask(), ask(), ask()])).map(jobOf);
    const later = jobOf(await ask());
    expect(new Set([...together, later]).size).toBe(4);
    expect(world.calls).toHaveLength(4);
  });

  it("the job was given up for want of a caller -> the same body is a new job", async () => {
    const { body, headers, id } = await broken(false);
    await alone(id);
    await ring(id, EPOCH + 31_000);
    expect(await statusOf(id)).toBe("cancelled");
    world.upstream = () => completion("anew");
    const response = await send("/v1/chat/completions", { method: "POST", headers, body });
    expect([response.status, jobOf(response) === id]).toEqual([200, false]);
  });

  it("another body is another job, retry or not", async () => {
    const { id } = await broken(false);
    world.upstream = () => completion("other");
    const response = await send("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: "Bearer sk-dev-alice", "x-stainless-retry-count": "1" },
      body: JSON.stringify({ ...params, temperature: 1 }),
    });
    expect(jobOf(response)).not.toBe(id);
  });
});

describe("a call that takes longer than its client waits", () => {
  it("429 in time, the job stays alive, and the SDK's own retry waits on for the same job", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { client, sent } = sdk();
    const answer = client.chat.completions.create(params, { timeout: 2_000 });
    await until(() => sent.length === 1);
    expect(sent[0]!.response.status).toBe(429);
    expect(sent[0]!.response.headers.get("x-should-retry")).toBe("true");
    upstream.say("late");
    upstream.finish();
    expect((await answer).choices[0]!.message.content).toBe("late");
    expect(sent.map(({ response }) => jobOf(response))).toEqual([jobOf(sent[0]!.response), jobOf(sent[0]!.response)]);
    expect(world.calls).toHaveLength(1);
  });

  it("it says nothing of its time, gives up and tries again -> its second try is answered by the same job", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { client } = sdk({ timeout: 1_000 });
    const answer = client.chat.completions.create(params).withResponse();
    await until(() => world.calls.length === 1);
    const { body } = await call<{ data: { id: string }[] }>("GET", "/v1/jobs");
    const { id } = body.data[0]!;
    const sockets = (count: number) => until(() => inside(mailboxOf(id), (_, state) => state.getWebSockets().length === count));
    for (const count of [1, 0, 1]) await sockets(count);
    upstream.say("late");
    upstream.finish();
    const { data, response } = await answer;
    expect([data.choices[0]!.message.content, jobOf(response)]).toEqual(["late", id]);
    expect(world.calls).toHaveLength(1);
  });

  it("no retries -> RateLimitError, and the job goes on", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { client, sent } = sdk();
    const options = { timeout: 2_000, maxRetries: 0 };
    const failed = await client.chat.completions.create(params, options).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RateLimitError);
    expect(failed).toMatchObject({ type: "rate_limit_error", code: "job_not_finished" });
    upstream.finish();
    const id = jobOf(sent[0]!.response);
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.status === "completed");
  });

  it("no retries, and nobody comes back within half a minute either -> the job lives on, as its caller was told", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { client, sent } = sdk();
    await client.chat.completions.create(params, { timeout: 2_000, maxRetries: 0 }).catch(() => {});
    const id = jobOf(sent[0]!.response);
    await until(() => inside(mailboxOf(id), (_, state) => state.getWebSockets().length === 0));
    world.now = EPOCH + 61_000;
    await runDurableObjectAlarm(mailboxOf(id));
    expect((await call("GET", `/v1/jobs/${id}`)).body.status).toBe("in_progress");
    upstream.finish();
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.status === "completed");
  });
});

it("a stream whose caller waits a second only, and which has to queue -> its headers and comments come in time", async () => {
  await call("POST", "/v1/queue/pause", {}, { key: "sk-dev-operator" });
  const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json", "x-stainless-timeout": "1" };
  const body = JSON.stringify({ ...params, stream: true });
  // Without them, even a caller that waits twice that long would break it off.
  const response = await send("/v1/chat/completions", { method: "POST", headers, body, signal: AbortSignal.timeout(2_000) });
  expect(response.status).toBe(200);
  await response.body!.cancel();
});

describe("a retry that comes too late", () => {
  const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json", "x-stainless-retry-count": "1" };
  const body = JSON.stringify(params);
  const again = (more: Record<string, string> = {}) =>
    send("/v1/chat/completions", { method: "POST", headers: { ...headers, ...more }, body });

  it("the job was given up meanwhile -> a new one, not the news that it was", async () => {
    world.upstream = script().answer;
    const controller = new AbortController();
    const first = send("/v1/chat/completions", { method: "POST", headers, body, signal: controller.signal }).catch(() => null);
    await until(() => world.calls.length === 1);
    controller.abort();
    await first;
    const { id } = (await call<{ data: { id: string }[] }>("GET", "/v1/jobs")).body.data[0]!;
    await call("POST", `/v1/jobs/${id}/cancel`);
    world.upstream = () => completion("here");
    const answer = await again();
    expect(answer.status).toBe(200);
    expect(jobOf(answer)).not.toBe(id);
  });

  it("its deadline has passed since -> that is no reason to refuse it; of a new call it is", async () => {
    const settings = readSettings({ SLUICE_LOCAL: "1" });
    const raised = new RaisedLimits(env as never, settings.region);
    const context = { settings, raised, key: [...settings.keys.values()][0]!, grant: null, now: EPOCH, idempotencyKey: null, spread: 0 };
    const job = { request: params, deadline: EPOCH / 1_000 - 1 };
    expect(await accept(job, context)).toMatchObject({ ok: false, problem: { code: "deadline_passed" } });
    expect(await accept(job, { ...context, maybeKnown: true })).toMatchObject({ ok: true, submission: { deadline: EPOCH - 1_000 } });
  });

  it("its deadline has passed, and there is no job of it -> it is refused as what cannot be done in time", async () => {
    const answer = await again({ "x-sluice-deadline": String(EPOCH / 1_000 - 1) });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { error: { code: string } }).error.code).toBe("deadline_unreachable");
    expect(world.calls).toEqual([]);
  });
});
