import { reset } from "cloudflare:test";
import { type APIError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import type { ChatCompletionChunk } from "openai/resources/chat/completions";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { all, jobOf, messages, params, sdk, textOf } from "../support/sdk.ts";
import { advanceTo, call, send, until } from "../support/service.ts";
import { chunk, chunksOf, completion, EPOCH, refusal, resetWorld, script, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const SLOW = JSON.stringify({ slow: { models: ["slow"], rpm: 1, tpm: 1_000_000, burst_seconds: 60 }, default: { rpm: 500, tpm: 500_000 } });

describe("a plain call", () => {
  it("is answered with the completion itself, and says in headers which job it was and what is left of the budget", async () => {
    world.upstream = () => completion("Once upon a time");
    const { client, sent } = sdk();
    const answer = await client.chat.completions.create(params);
    expect(answer).toMatchObject({ object: "chat.completion", usage: { total_tokens: 10 } });
    expect(answer.choices[0]!.message.content).toBe("Once upon a time");
    const { headers } = sent[0]!.response;
    const { body: job } = await call("GET", `/v1/jobs/${headers.get("x-sluice-job")}`);
    expect(JSON.stringify(answer)).toBe(JSON.stringify(job.response));
    expect(headers.get("x-request-id")).toMatch(/^req_/);
    expect(headers.get("x-ratelimit-limit-requests")).toBe("500");
    expect(Number(headers.get("x-ratelimit-remaining-requests"))).toBeLessThan(500);
    expect(headers.get("x-ratelimit-reset-requests")).toMatch(/^\d+ms$/);
    expect(Number(headers.get("x-ratelimit-remaining-tokens"))).toBeGreaterThan(0);
    expect(Number(headers.get("x-sluice-queue-ms"))).toBeGreaterThanOrEqual(0);
    expect(Number(headers.get("openai-processing-ms"))).toBeGreaterThanOrEqual(0);
  });

  it("parameters reach upstream as they were sent, unknown ones too", async () => {
    const { client } = sdk();
    await client.chat.completions.create({
      ...params,
      temperature: 0.5,
      response_format: { type: "json_object" },
      novel: { a: 1 },
    } as never);
    expect(world.calls[0]).toMatchObject({ ...params, temperature: 0.5, response_format: { type: "json_object" }, novel: { a: 1 } });
  });

  it("a whole number of 64 bits reaches upstream as it was sent", async () => {
    const body = JSON.stringify({ ...params, seed: 0 }).replace('"seed":0', '"seed":9223372036854775807');
    const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
    expect((await send("/v1/chat/completions", { method: "POST", headers, body })).status).toBe(200);
    expect(JSON.stringify(world.calls[0])).toContain('"seed":9223372036854775807');
  });

  it("channel, priority and deadline come by header", async () => {
    const { client, sent } = sdk({
      defaultHeaders: { "x-sluice-channel": "talk", "x-sluice-priority": "7", "x-sluice-deadline": String(EPOCH / 1_000 + 60) },
    });
    await client.chat.completions.create(params);
    const { body } = await call("GET", `/v1/jobs/${jobOf(sent[0]!.response)}`);
    expect(body).toMatchObject({ channel: "talk", priority: 7, deadline: EPOCH / 1_000 + 60 });
  });

  it.each([
    ["x-sluice-priority", "high"],
    ["x-sluice-deadline", "1"],
    ["x-sluice-on-disconnect", "stay"],
    ["x-sluice-channel", "~secret"],
  ])("%s: %s -> 400, upstream is not called", async (name, value) => {
    const { client } = sdk({ defaultHeaders: { [name]: value } });
    await expect(client.chat.completions.create(params)).rejects.toThrow(BadRequestError);
    expect(world.calls).toHaveLength(0);
  });
});

describe("a call that fails throws the SDK's own class, and is not tried again", () => {
  const failing = async (options: Parameters<typeof sdk>[0], body: object = params) => {
    const { client, sent } = sdk(options);
    const error = await client.chat.completions.create(body as typeof params).then(
      () => null,
      (reason: unknown) => reason as APIError,
    );
    return { error: error!, tries: sent.length };
  };

  it("a wrong key -> AuthenticationError", async () => {
    const { error } = await failing({ apiKey: "sk-wrong" });
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error.code).toBe("invalid_api_key");
  });

  it.each([
    [400, BadRequestError, "bad"],
    [404, NotFoundError, "model_not_found"],
  ])("upstream's %i -> that class, with upstream's words", async (status, type, code) => {
    world.upstream = () => refusal(status, code);
    for (const body of [params, { ...params, stream: true }]) {
      const { error, tries } = await failing({}, body);
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject({ status, code, message: expect.stringContaining(`refused: ${code}`) });
      expect(tries).toBe(1);
    }
  });

  it("no messages -> BadRequestError that names the field as OpenAI does", async () => {
    const { error } = await failing({}, { model: "gpt-5-mini", messages: [] });
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error.param).toBe("messages");
    expect(error.message).not.toContain("request.");
  });

  it("cancelled meanwhile -> 409", async () => {
    world.env = { SLUICE_POOLS: SLOW };
    const { client } = sdk();
    await client.chat.completions.create({ model: "slow", messages });
    const waiting = failing({}, { model: "slow", messages });
    const id = await until(async () => {
      const { body } = await call<{ data: { id: string }[] }>("GET", "/v1/jobs?status=queued");
      return body.data[0]?.id ?? null;
    });
    await call("POST", `/v1/jobs/${id}/cancel`);
    const { error, tries } = await waiting;
    expect([error.status, error.code, tries]).toEqual([409, "job_cancelled", 1]);
  });
});

describe("a streamed call", () => {
  const streaming = (more: object = {}, options: Parameters<typeof sdk>[0] = {}) => {
    const { client, sent } = sdk(options);
    return { sent, chunks: client.chat.completions.create({ ...params, ...more, stream: true }) };
  };

  it("upstream's chunks, each as it was, in order; without usage unless it is asked for", async () => {
    const pieces = chunksOf("Once upon a time");
    const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 };
    world.upstream = () => stream([...pieces.map((each) => ({ ...(each as object), usage: null })), { ...chunk([]), usage }, "[DONE]"]);
    expect(await all(await streaming().chunks)).toEqual(pieces);
    const asked = await all(await streaming({ stream_options: { include_usage: true } }).chunks);
    expect(asked).toEqual([...pieces.map((each) => ({ ...(each as object), usage: null })), { ...chunk([]), usage }]);
  });

  it("chunks come while the answer is made", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { chunks } = streaming();
    upstream.say("Once ");
    const seen: ChatCompletionChunk[] = [];
    for await (const each of await chunks) {
      seen.push(each);
      if (textOf(seen) === "Once ") upstream.say("upon");
      if (textOf(seen) === "Once upon") upstream.finish();
    }
    expect(textOf(seen)).toBe("Once upon");
  });

  it("while it waits, comments say where it stands", async () => {
    world.env = { SLUICE_POOLS: SLOW };
    await all(await streaming({ model: "slow" }).chunks);
    const response = await send("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: "Bearer sk-dev-alice", "content-type": "application/json" },
      body: JSON.stringify({ model: "slow", messages, stream: true }),
    });
    expect(response.status).toBe(200);
    const reading = response.text();
    await advanceTo(EPOCH + 60_000);
    const text = await reading;
    expect(text).toMatch(/^: job_\S+ queued\n\n: position 1, starts in about [\d.]+ s \(limited by rpm\)\n\n/);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
  }, 15_000);

  it("a pool that is paused is no matter of seconds", async () => {
    await call("POST", "/v1/queue/pause", {}, { key: "sk-dev-operator" });
    const answer = send("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: "Bearer sk-dev-alice", "content-type": "application/json" },
      body: JSON.stringify({ ...params, stream: true }),
    });
    const reader = (await answer).body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("position")) text += (await reader.read()).value;
    expect(text).toContain(": position 1, waits until its queue is no longer paused\n");
    await reader.cancel();
  }, 15_000);

  it("tool calls and several choices pass", async () => {
    const tool = (index: number, call: object) => chunk([{ index, delta: { tool_calls: [{ index: 0, ...call }] }, finish_reason: null }]);
    const pieces = [
      tool(0, { id: "call_1", type: "function", function: { name: "f", arguments: "" } }),
      tool(1, { id: "call_2", type: "function", function: { name: "g", arguments: "{}" } }),
      tool(0, { function: { arguments: '{"a":1}' } }),
      chunk([{ index: 0, delta: {}, finish_reason: "tool_calls" }]),
      chunk([{ index: 1, delta: {}, finish_reason: "tool_calls" }]),
    ];
    const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 };
    world.upstream = () => stream([...pieces, { ...chunk([]), usage }, "[DONE]"]);
    expect(await all(await streaming({ n: 2 }).chunks)).toEqual(pieces);
  });

  it("audio that comes without a reason why it ended is whole, streamed or not", async () => {
    const audio = (more: object) => chunk([{ index: 0, delta: { audio: more }, finish_reason: null }]);
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    const pieces = [audio({ id: "audio_1", transcript: "hi" }), audio({ data: "AAAA" }), audio({ expires_at: 1_234 })];
    world.upstream = () => stream([...pieces, { ...chunk([]), usage }, "[DONE]"]);
    expect((await sdk().client.chat.completions.create(params)).choices[0]!.finish_reason).toBe("stop");
    expect(await all(await streaming().chunks)).toEqual(pieces);
  });

  it("the answer breaks off after a part of it was sent -> an error, never [DONE]", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { chunks } = streaming();
    upstream.say("Once ");
    upstream.break();
    await expect(all(await chunks)).rejects.toMatchObject({ code: "unknown_outcome" });
    expect(world.calls).toHaveLength(1);
  });
});

describe("an Idempotency-Key", () => {
  it("the same key and body -> the same job and answer; upstream is called once", async () => {
    const { client, sent } = sdk();
    const options = { headers: { "idempotency-key": "k1" } };
    const answers = [await client.chat.completions.create(params, options), await client.chat.completions.create(params, options)];
    expect(answers[0]).toEqual(answers[1]);
    expect(jobOf(sent[0]!.response)).toBe(jobOf(sent[1]!.response));
    expect(world.calls).toHaveLength(1);
  });

  it("another body -> 409", async () => {
    const { client } = sdk({ maxRetries: 0 });
    const options = { headers: { "idempotency-key": "k1" } };
    await client.chat.completions.create(params, options);
    await expect(client.chat.completions.create({ ...params, temperature: 1 }, options)).rejects.toMatchObject({
      status: 409,
      code: "idempotency_key_conflict",
    });
  });
});

describe("models", () => {
  it("lists the pools' models that the key may use", async () => {
    const { client } = sdk();
    const ids = (await client.models.list()).data.map(({ id }) => id);
    expect(ids).toContain("gpt-5-mini");
    expect(ids.every((id) => !id.includes("*"))).toBe(true);
    expect(await client.models.retrieve("gpt-5-mini-2025-08-07")).toMatchObject({ id: "gpt-5-mini-2025-08-07", object: "model" });
  });

  it("a model that no pool takes -> NotFoundError", async () => {
    world.env = { SLUICE_POOLS: JSON.stringify({ mini: { models: ["gpt-5-mini*"], rpm: 5, tpm: 5_000 } }) };
    await expect(sdk().client.models.retrieve("gpt-9")).rejects.toThrow(NotFoundError);
  });
});
