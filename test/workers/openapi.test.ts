import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { jsonl, requests, WINDOW } from "../support/batch.ts";
import { Described, nameOf } from "../support/described.ts";
import { HOOK, receive } from "../support/receiver.ts";
import { ended, hashOf, job, send, submit, until } from "../support/service.ts";
import { completion, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const operator = { key: "sk-dev-operator" };
const api = await Described.read();
const codeOf = ({ status, body }: { status: number; body: unknown }) => [status, (body as ErrorBody).error.code];
const pause = () => api.call("POST", "/v1/queue/pause", {}, operator);

async function tokenOf(wish: object): Promise<string> {
  return (await api.call<{ token: string }>("POST", "/v1/tokens", wish)).body.token;
}

describe("GET /openapi.json", () => {
  it("needs no key, and is not sent again to who has it", async () => {
    const first = await send("/openapi.json");
    expect([first.status, first.headers.get("content-type")]).toEqual([200, "application/json; charset=utf-8"]);
    expect(first.headers.get("cache-control")).toBe("public, max-age=300");
    expect(await first.json()).toMatchObject({ openapi: "3.1.1" });
    const etag = first.headers.get("etag")!;
    // Unchanged, weakened as by a proxy that compresses, and in a list.
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const again = await send("/openapi.json", { headers: { "if-none-match": known } });
      expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", etag]);
    }
    expect((await send("/openapi.json", { headers: { "if-none-match": '"other"' } })).status).toBe(200);
  });
});

describe("what opens a door is as described", () => {
  it("to keys, by each role alone, and to tokens, by each action alone", async () => {
    const roles = ["submit", "read", "operate"];
    const hashes = await Promise.all(roles.map(hashOf));
    // Three tenants, so that what one does to its queue does not affect the others.
    world.env.SLUICE_KEYS = JSON.stringify(hashes.map((key_sha256, at) => ({ key_sha256, tenant: roles[at], roles: [roles[at]] })));
    const actions = ["submit", "read", "cancel"];
    const tokens = await Promise.all(actions.map((action) => tokenOf({ channels: ["c"], actions: [action] })));
    const all = await tokenOf({ channels: ["c"], actions });
    const opens = async ({ method, template }: (typeof api.doors)[number], bearer: string | null) => {
      const path = template.replaceAll(/\{\w+\}/g, "x");
      const headers: Record<string, string> = bearer === null ? {} : { authorization: `Bearer ${bearer}` };
      const response = await send(path, { method, headers });
      const told = response.headers.get("content-type")?.startsWith("application/json") ? ((await response.json()) as ErrorBody) : null;
      if (!told) await response.body?.cancel();
      return !(response.status === 401 || (response.status === 403 && told?.error.code === "insufficient_permissions"));
    };
    for (const door of api.doors) {
      const { security } = door.operation;
      const lets = (scheme: string, has: string[]) => security.some((each) => each[scheme]?.every((needed) => has.includes(needed)));
      expect([nameOf(door), await opens(door, null)]).toEqual([nameOf(door), security.length === 0]);
      if (security.length === 0) continue;
      for (const role of roles) expect([nameOf(door), role, await opens(door, role)]).toEqual([nameOf(door), role, lets("key", [role])]);
      for (const [at, action] of actions.entries())
        expect([nameOf(door), action, await opens(door, tokens[at]!)]).toEqual([nameOf(door), action, lets("token", [action])]);
      expect([nameOf(door), "all", await opens(door, all)]).toEqual([nameOf(door), "all", lets("token", actions)]);
    }
  });
});

describe("what parameters may be is as described", () => {
  it("a page has as many as it says, and one more is refused", async () => {
    const paged = api.doors.filter(({ operation }) => operation.parameters?.some(({ name }) => name === "limit"));
    expect(paged.length).toBe(4);
    for (const { method, operation, template } of paged) {
      const { maximum } = operation.parameters!.find(({ name }) => name === "limit")!.schema as { maximum: number };
      const key = template === "/v1/dead-letters" ? "sk-dev-operator" : "sk-dev-alice";
      const most = await api.call(method, `${template}?limit=${maximum}`, undefined, { key });
      const more = await api.call<ErrorBody>(method, `${template}?limit=${maximum + 1}`, undefined, { key });
      expect([template, most.status, more.status, more.body.error.param]).toEqual([template, 200, 400, "limit"]);
    }
  });
});

describe("answers are as described", () => {
  it("of jobs: submitted, seen, listed, followed, explained, cancelled", async () => {
    const one = (await api.call<Job>("POST", "/v1/jobs", job({ channel: "c", metadata: { a: "1" }, token: true }))).body;
    await ended(one.id);
    expect((await api.call("GET", `/v1/jobs/${one.id}?wait=0`, undefined, { headers: { prefer: "wait=1" } })).status).toBe(200);
    await api.call("GET", `/v1/jobs/${one.id}/why`);
    const stream = await api.call("GET", `/v1/jobs/${one.id}/events`);
    expect(stream.text).toContain("event: completed");
    expect((await api.call("GET", `/v1/jobs/${one.id}/events?after=100`)).status).toBeLessThan(300);
    const events = await api.call<{ data: unknown[] }>("GET", `/v1/jobs/${one.id}/events?wait=0`);
    expect(events.body.data.length).toBeGreaterThan(1);

    await pause();
    const later = { channel: "c", not_before: world.now / 1_000 + 60, deadline: world.now / 1_000 + 120, timeouts: { total: 60 } };
    const many = await api.call<{ data: Job[] }>("POST", "/v1/jobs", { jobs: [job(later), job({ channel: "c" }), job(), job()] });
    expect(many.body.data.map(({ status }) => status)).toEqual(["scheduled", "queued", "queued", "queued"]);
    expect((await api.call("POST", "/v1/jobs", [job(), job()])).status).toBe(202);
    for (const { id } of many.body.data) {
      expect((await api.call("GET", `/v1/jobs/${id}`)).status).toBe(202);
      await api.call("GET", `/v1/jobs/${id}/why`);
    }
    await api.call("GET", "/v1/jobs?limit=2");
    await api.call("GET", "/v1/jobs?channel=c&status=queued");
    expect((await api.call<Job>("POST", `/v1/jobs/${many.body.data[1]!.id}/cancel`)).body.status).toBe("cancelled");
  });

  it("of jobs that could not be, alone, in a list, and in lines", async () => {
    expect(codeOf(await api.call("POST", "/v1/jobs", { request: 1 }))).toEqual([400, "invalid_job"]);
    expect(codeOf(await api.call("POST", "/v1/jobs", "{"))).toEqual([400, "invalid_json"]);
    expect(codeOf(await api.call("POST", "/v1/jobs", job({ deadline: 1 })))).toEqual([400, "deadline_passed"]);
    expect(codeOf(await api.call("POST", "/v1/jobs", job({ webhook: "ftp://x" })))).toEqual([400, "invalid_webhook"]);
    const large = job({}, { max_completion_tokens: 1e9 });
    expect(codeOf(await api.call("POST", "/v1/jobs", large))).toEqual([400, "reservation_exceeds_budget"]);
    const soon = job({ not_before: world.now / 1_000 + 60, deadline: world.now / 1_000 + 30 });
    expect(codeOf(await api.call("POST", "/v1/jobs", soon))).toEqual([400, "deadline_unreachable"]);
    expect(codeOf(await api.call("GET", "/v1/jobs/job_x"))).toEqual([404, "job_not_found"]);
    expect(codeOf(await api.call("GET", "/v1/jobs?after=job_x"))).toEqual([400, "invalid_parameter"]);

    const headers = { "idempotency-key": "k" };
    await api.call("POST", "/v1/jobs", job(), { headers });
    expect(codeOf(await api.call("POST", "/v1/jobs", job({ priority: 1 }), { headers }))).toEqual([409, "idempotency_key_conflict"]);

    const list = await api.call<{ data: object[] }>("POST", "/v1/jobs", { jobs: [job(), job({ deadline: 1 })] });
    expect(list.body.data.map((each) => "object" in each)).toEqual([true, false]);
    const lines = `${JSON.stringify(job({ token: true }))}\n\n{"request":1}\n`;
    const told = await api.call("POST", "/v1/jobs", undefined, { raw: lines, headers: { "content-type": "application/jsonl" } });
    const [good, bad] = told.text.trim().split("\n");
    api.is("SubmittedJob", JSON.parse(good!));
    api.is("LineError", JSON.parse(bad!));
  });

  it("of a job whose call came to nothing: it waits, then it has failed, is a dead letter, and is redriven", async () => {
    world.upstream = () => refusal(500, "down");
    const { id } = await submit({ channel: "c" });
    const waits = await until(async () => {
      const { body } = await api.call<Job>("GET", `/v1/jobs/${id}`);
      return body.last_failure ? body : null;
    });
    expect(waits.last_failure).toMatchObject({ status: 500, times: 1 });
    expect((await api.call("GET", `/v1/jobs/${id}/why`)).body).toHaveProperty("last_failure");
    await api.call("GET", "/v1/queue", undefined, operator);

    world.upstream = () => refusal(400, "bad", { "x-request-id": "req_upstream" });
    const failed = await submit({ channel: "other" }, { model: "gpt-5-nano" });
    await ended(failed.id);
    expect((await api.call<Job>("GET", `/v1/jobs/${failed.id}`)).body.error).toMatchObject({ code: "bad", status: 400 });
    const letters = await api.call<{ data: object[] }>("GET", "/v1/dead-letters", undefined, operator);
    expect(letters.body.data.length).toBe(1);
    const redriven = await api.call<{ data: object[] }>("POST", "/v1/dead-letters/redrive", { jobs: [failed.id, "job_x"] }, operator);
    expect(redriven.body.data.map((each) => "object" in each)).toEqual([true, false]);
    expect(codeOf(await api.call("POST", "/v1/dead-letters/redrive", "{", operator))).toEqual([400, "invalid_json"]);
  });

  it("of webhooks: what they are sent, and what became of it", async () => {
    const received = receive();
    const { body } = await api.call<Job>("POST", "/v1/jobs", job({ channel: "c", webhook: HOOK }));
    await ended(body.id);
    await until(() => received.length > 0);
    api.is("JobEndedEvent", JSON.parse(received[0]!.body));
    const deliveries = await api.call<{ data: { id: string }[] }>("GET", `/v1/jobs/${body.id}/deliveries`);
    const [delivery] = deliveries.body.data;
    expect((await api.call("POST", `/v1/jobs/${body.id}/deliveries/${delivery!.id}/redeliver`)).status).toBe(202);
    expect(codeOf(await api.call("POST", `/v1/jobs/${body.id}/deliveries/x/redeliver`))).toEqual([404, "delivery_not_found"]);
  });

  it("to who may not, and to tokens", async () => {
    for (const [key, code] of [
      ["", "missing_api_key"],
      ["wrong", "invalid_api_key"],
      ["a.b.c", "invalid_token"],
    ] as const)
      expect(codeOf(await api.call("GET", "/v1/jobs", undefined, { key }))).toEqual([401, code]);
    expect(codeOf(await api.call("GET", "/v1/queue"))).toEqual([403, "insufficient_permissions"]);
    expect(codeOf(await api.call("POST", "/v1/tokens", {}))).toEqual([400, "invalid_token_request"]);

    const token = await tokenOf({ channels: ["c"], actions: ["read", "submit"], max_jobs: 1 });
    const { body } = await api.call<Job>("POST", "/v1/jobs", job(), { key: token });
    await api.call("GET", `/v1/jobs/${body.id}/why`, undefined, { key: token });
    expect(codeOf(await api.call("POST", "/v1/jobs", job({ channel: "d" }), { key: token }))).toEqual([403, "channel_not_allowed"]);
    expect(codeOf(await api.call("POST", "/v1/jobs", job(), { key: token }))).toEqual([403, "token_jobs_exhausted"]);
    expect(codeOf(await api.call("POST", `/v1/jobs/${body.id}/cancel`, undefined, { key: token }))[0]).toBe(403);
    const two = await tokenOf({ channels: ["c", "d"] });
    expect(codeOf(await api.call("GET", "/v1/jobs", undefined, { key: two }))).toEqual([400, "channel_required"]);
    await api.call("POST", "/v1/tokens/revoke", { token });
    expect(codeOf(await api.call("GET", `/v1/jobs/${body.id}`, undefined, { key: token }))).toEqual([401, "token_revoked"]);
    expect(codeOf(await api.call("POST", "/v1/tokens/revoke", { token: "x" }))).toEqual([400, "invalid_token"]);
  });

  it("of OpenAI's API: completions, models, files and batches", async () => {
    const { request } = job();
    const plain = await api.call("POST", "/v1/chat/completions", request);
    expect([plain.status, plain.headers.get("content-type")]).toEqual([200, "application/json; charset=utf-8"]);
    const streamed = await api.call("POST", "/v1/chat/completions", { ...(request as object), stream: true });
    expect(streamed.text).toContain("[DONE]");
    expect(codeOf(await api.call("POST", "/v1/chat/completions", { model: "gpt-5-mini" }))).toEqual([400, null]);
    world.upstream = () => refusal(422, "odd");
    expect(codeOf(await api.call("POST", "/v1/chat/completions", { ...(request as object), n: 2 }))).toEqual([422, "odd"]);
    world.upstream = () => completion("ok");

    await api.call("GET", "/v1/models");
    await api.call("GET", "/v1/models/some/model");

    const raw = new FormData();
    raw.append("purpose", "batch");
    raw.append("file", new Blob([jsonl(requests(2))]), "in.jsonl");
    const file = (await api.call<{ id: string }>("POST", "/v1/files", undefined, { raw })).body.id;
    expect(codeOf(await api.call("POST", "/v1/files", undefined, { raw: "x" }))).toEqual([400, "invalid_multipart"]);
    for (const path of ["/v1/files", `/v1/files/${file}`, `/v1/files/${file}/content`])
      expect((await api.call("GET", path)).status).toBe(200);
    expect((await api.call("GET", "/", undefined, { headers: { accept: "text/html" } })).status).toBe(200);
    const batch = (await api.call<{ id: string }>("POST", "/v1/batches", { input_file_id: file, ...WINDOW, metadata: { a: "1" } })).body.id;
    for (const path of ["/v1/batches", `/v1/batches/${batch}`, `/v1/jobs?batch=${batch}`])
      expect((await api.call("GET", path)).status).toBe(200);
    expect((await api.call("POST", `/v1/batches/${batch}/cancel`)).status).toBe(200);
    expect((await api.call("DELETE", `/v1/files/${file}`)).status).toBe(200);
    for (const path of ["/v1/files/x", "/v1/batches/x"]) expect(codeOf(await api.call("GET", path))).toEqual([404, null]);
    expect(codeOf(await api.call("POST", "/v1/batches", { input_file_id: file, ...WINDOW }))).toEqual([400, null]);
  });

  it("to operators: the queue, its levers, limits and metrics", async () => {
    await ended((await submit()).id);
    await pause();
    await submit({ priority: 5 });
    await api.call("POST", "/v1/queue/pause", { tenant: "bob" }, operator);
    await api.call("POST", "/v1/queue/drain", { tenant: "bob" }, operator);
    expect((await api.call("PATCH", "/v1/pools/gpt-5", { rpm: 100, burst_seconds: null, reset: true }, operator)).status).toBe(200);
    expect((await api.call("PATCH", "/v1/tenants/alice", { weight: 2, rpm: 10 }, operator)).status).toBe(200);
    await api.call("GET", "/v1/pools/gpt-5", undefined, operator);
    await api.call("GET", "/v1/tenants/alice", undefined, operator);
    const { body } = await api.call("GET", "/v1/queue", undefined, operator);
    expect(body).toMatchObject({ paused: true, paused_tenants: ["bob"], overrides: { tenants: { alice: { weight: 2 } } } });
    const wish = { pools: { "gpt-5": { rpm: 1_000 } }, tenants: { alice: { weight: 5 } } };
    expect((await api.call("POST", "/v1/simulate", wish, operator)).body).toMatchObject({ object: "simulation" });
    await api.call("POST", "/v1/queue/resume", {}, operator);
    await api.call("GET", "/metrics", undefined, operator);
    for (const path of ["/v1/pools/x", "/v1/tenants/x"]) expect((await api.call("GET", path, undefined, operator)).status).toBe(404);
    expect(codeOf(await api.call("POST", "/v1/queue/pause", { pool: "x" }, operator))).toEqual([404, "pool_not_found"]);
  });

  it("to anybody", async () => {
    for (const path of ["/", "/healthz", "/openapi.json"]) expect((await api.call("GET", path)).status).toBe(200);
  });

  it("of what stays open: the queue as it changes, and the WebSocket", async () => {
    const stream = await send("/v1/queue/stream", { headers: { authorization: `Bearer ${operator.key}` } });
    const { value } = await stream.body!.pipeThrough(new TextDecoderStream()).getReader().read();
    api.is("QueueState", JSON.parse(value!.split("data: ")[1]!));
    expect(api.doorOf("GET", "/v1/queue/stream").operation.responses[200]!.content).toHaveProperty(["text/event-stream"]);
    const open = await send("/v1/subscribe", { headers: { authorization: "Bearer sk-dev-alice", upgrade: "websocket" } });
    expect(api.doorOf("GET", "/v1/subscribe").operation.responses).toHaveProperty([String(open.status)]);
    open.webSocket!.accept();
    open.webSocket!.close();
    expect(codeOf(await api.call("GET", "/v1/subscribe"))).toEqual([426, "upgrade_required"]);
    for (const path of ["/v1/queue/stream", "/v1/subscribe"]) api.seen.add(`GET ${path}`);
  });

  // Must stand last: it checks what the tests before it have seen, and is skipped if one of them was left out or failed.
  it("of every door", ({ skip, task }) => {
    const before = task.suite!.tasks.filter((each) => each !== task);
    if (before.some(({ result }) => result?.state !== "pass")) skip("not all before it have passed");
    expect(api.doors.map(nameOf).filter((door) => !api.seen.has(door))).toEqual([]);
  });
});
