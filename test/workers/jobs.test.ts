import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { advanceTo, call, ended, job, send, story, submit, until } from "../support/service.ts";
import { completion, EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

describe("submitting one job", () => {
  it("answers 202 with a job, its place and its address", async () => {
    const { status, body, headers } = await call("POST", "/v1/jobs", job({ channel: "c", metadata: { a: "b" } }));
    expect(status).toBe(202);
    expect(body).toMatchObject({ object: "job", status: "queued", channel: "c", model: "gpt-5-mini", position: 1, metadata: { a: "b" } });
    expect(headers.get("location")).toBe(`/v1/jobs/${body.id}`);
    expect(headers.get("x-request-id")).toMatch(/^req_/);
    const there = await call("GET", headers.get("location")!);
    expect(there.body.id).toBe(body.id);
  });

  it("queued -> completed: calls upstream once and keeps the plain completion", async () => {
    const { id } = await submit();
    const done = await ended(id);
    expect(done).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0, usage: { total_tokens: 10 } });
    expect(done.response).toMatchObject({
      object: "chat.completion",
      choices: [{ message: { role: "assistant", content: "ok" }, finish_reason: "stop" }],
    });
    expect(world.calls).toHaveLength(1);
  });

  it("passes fields that it does not know to upstream untouched", async () => {
    const strange = {
      reasoning_effort: "low",
      response_format: { type: "json_schema", json_schema: { name: "n", schema: { type: "object", properties: { "": {}, ключ: [] } } } },
      logit_bias: { "50256": -100 },
      service_tier: null,
      x_future: [1.5, true, { deep: { "a.b": "\u0000\u2028" } }],
      messages: [{ role: "tool", content: null, tool_call_id: "t", surprise: { kept: [] } }],
      n: null,
    };
    const { id } = await submit({}, strange);
    await ended(id);
    const { stream, stream_options, ...seen } = world.calls[0]!;
    expect(seen).toEqual({ model: "gpt-5-mini", max_completion_tokens: 10, ...strange });
    expect({ stream, stream_options }).toEqual({ stream: true, stream_options: { include_usage: true } });
  });

  it("a request of 500 levels reaches upstream whole", async () => {
    const { id } = await submit({}, { x: nested(499) });
    expect((await ended(id)).status).toBe("completed");
    expect(world.calls[0]!.x).toEqual(nested(499));
  });

  it("scheduled -> completed: waits for not_before", async () => {
    const { id, status } = await submit({ not_before: EPOCH / 1_000 + 60 });
    expect(status).toBe("scheduled");
    await advanceTo(EPOCH + 59_999);
    expect((await call("GET", `/v1/jobs/${id}`)).body).toMatchObject({ status: "scheduled", not_before: EPOCH / 1_000 + 60 });
    await advanceTo(EPOCH + 60_000);
    expect((await ended(id)).status).toBe("completed");
  });

  it("queued -> expired: a job that cannot start before its deadline is never called", async () => {
    const { id } = await submit({ not_before: EPOCH / 1_000 + 60, deadline: EPOCH / 1_000 + 61 });
    await advanceTo(EPOCH + 61_000);
    expect(await ended(id)).toMatchObject({ status: "expired", error: { code: "deadline_exceeded" }, attempts: 0 });
    expect(world.calls).toHaveLength(0);
  });

  it("a redirect is not followed: a prompt goes to whom the operator named, and to nobody else", async () => {
    world.upstream = () => new Response(null, { status: 307, headers: { location: "https://elsewhere.example/v1/chat/completions" } });
    const { id } = await submit();
    const retrying = () => call<{ limited_by: string }>("GET", `/v1/jobs/${id}/why`);
    await until(async () => (await retrying()).body.limited_by === "retry");
    expect(world.calls).toHaveLength(1);
    expect(await story(id)).toContain("retrying");
  });

  it("keeps what upstream refused, in upstream's words", async () => {
    world.upstream = () => Response.json({ error: { message: "no", type: "t", code: "c", param: "p" } }, { status: 400 });
    const { id } = await submit();
    expect(await ended(id)).toMatchObject({ status: "failed", response: null, error: { type: "t", code: "c", param: "p" } });
  });
});

const nested = (levels: number): unknown => (levels === 0 ? "bottom" : [nested(levels - 1)]);

describe("a job that cannot be", () => {
  const refused: [what: string, job: unknown, param: string | null, code: string, status?: number][] = [
    ["no request", {}, "request", "invalid_job"],
    ["null", null, null, "invalid_job"],
    ["a text", '"hello"', null, "invalid_job"],
    ["no model", job({}, { model: undefined }), "request.model", "invalid_job"],
    ["a model that is no text", job({}, { model: 5 }), "request.model", "invalid_job"],
    ["no messages", job({}, { messages: [] }), "request.messages", "invalid_job"],
    ["a message without a role", job({}, { messages: [{ content: "x" }] }), "request.messages.0.role", "invalid_job"],
    ["n that is no count", job({}, { n: 0 }), "request.n", "invalid_job"],
    ["a fraction of a token", job({}, { max_completion_tokens: 1.5 }), "request.max_completion_tokens", "invalid_job"],
    ["an unknown field of the job", job({ chanel: "c" }), "chanel", "invalid_job"],
    ["a channel that is no text", job({ channel: 5 }), "channel", "invalid_job"],
    ["an empty channel", job({ channel: "" }), "channel", "invalid_job"],
    ["a channel of 129 characters", job({ channel: "x".repeat(129) }), "channel", "invalid_job"],
    ["a channel cut in the middle of an emoji", job({ channel: "half \ud83d" }), "channel", "invalid_job"],
    ["a reserved channel", job({ channel: "~0" }), "channel", "invalid_job"],
    ["a lobby's channel", job({ channel: "~lobby-0" }), "channel", "invalid_job"],
    ["a priority beyond a day", job({ priority: 86_401 }), "priority", "invalid_job"],
    ["a priority that is no number", job({ priority: "high" }), "priority", "invalid_job"],
    ["a time that is no number", job({ not_before: "now" }), "not_before", "invalid_job"],
    ["a retry policy that is none", job({ retry: "maybe" }), "retry", "invalid_job"],
    ["metadata that is no text", job({ metadata: { a: 1 } }), "metadata.a", "invalid_job"],
    ["17 pairs of metadata", job({ metadata: Object.fromEntries([...Array(17).keys()].map((n) => [n, ""])) }), "metadata", "invalid_job"],
    ["more levels than can be written again", job({}, { x: nested(500) }), "request", "invalid_job"],
    ["a deadline in the past", job({ deadline: 1 }), "deadline", "deadline_passed"],
    ["an answer of another job's", job({ cache: true }), "cache", "invalid_job"],
    ["more tokens than the pool ever holds", job({}, { max_completion_tokens: 10_000_000 }), "request", "reservation_exceeds_budget"],
  ];

  it.each(refused)("%s: refused with the field at fault", async (_, body, param, code, status = 400) => {
    const answer = await call<ErrorBody>("POST", "/v1/jobs", body);
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual({ error: { message: expect.any(String), type: "invalid_request_error", code, param } });
  });

  it("no answer of another job's is what it gets in any case", async () => {
    for (const cache of [false, null]) expect((await call("POST", "/v1/jobs", job({ cache }))).status).toBe(202);
    await until(() => world.calls.length === 2);
  });

  it.each([
    ["no body", ""],
    ["half a body", '{"request":'],
    ["two bodies", "{}{}"],
  ])("%s: 400 in OpenAI's shape", async (_, body) => {
    const answer = await call<ErrorBody>("POST", "/v1/jobs", body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ type: "invalid_request_error", code: "invalid_json", param: null });
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
  });

  it("no body at all: 400", async () => {
    const answer = await send("/v1/jobs", { method: "POST", headers: { authorization: "Bearer sk-dev-alice" } });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as ErrorBody).error.code).toBe("invalid_json");
  });

  it("leaves nothing behind", async () => {
    await call("POST", "/v1/jobs", job({ channel: "c" }, { max_completion_tokens: 10_000_000 }));
    expect((await call<{ data: unknown[] }>("GET", "/v1/jobs?channel=c")).body.data).toEqual([]);
  });
});

describe("channels", () => {
  const names = ["a/b", "../x", "with space", "ünïcode-频道", "x".repeat(128), "漢".repeat(128), "😀", "%2F", "a~b", "\n", "__proto__"];
  it.each(names)("a channel named %j finds its jobs again", async (channel) => {
    const { id, channel: shown } = await submit({ channel });
    expect(shown).toBe(channel);
    expect((await ended(id)).channel).toBe(channel);
    const listed = await call<{ data: { id: string }[] }>("GET", `/v1/jobs?channel=${encodeURIComponent(channel)}`);
    expect(listed.body.data.map((each) => each.id)).toEqual([id]);
  });

  it("jobs without a channel show none", async () => {
    world.upstream = () => completion("ok");
    const { id } = await submit();
    expect((await ended(id)).channel).toBeNull();
  });
});
