/** A streamed call gets upstream's chunks byte for byte, however they were written and whoever else reads along. */
import { reset } from "cloudflare:test";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { meaningOf } from "../../policy/verbatim.ts";
import { messages } from "../support/sdk.ts";
import { call, evict, mailboxOf, send, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { resetWorld, script, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

/** Chunks that `JSON.stringify` would write differently, except the second; `usage` is what upstream says about usage before the end. */
const written = (usage: string) => [
  `{"id": "c", "created": 1.0, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]${usage}}`,
  `{"id":"c","choices":[{"index":0,"delta":{"content":"plain "},"finish_reason":null}]${usage.replaceAll(" ", "")}}`,
  `{"id": "c", "choices": [{"index": 0, "delta": {"content": "\\u00e9 \\/ 😀 "}, "finish_reason": null}], "2": 1e2, "1": -0.0${usage}}`,
  `{"choices": [{"index": 0, "delta": {"content": "\\"usage\\": null"}}], "id": "c", "id": "d"${usage}}`,
  `{\n  "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]${usage}\n}`,
];
const TOTAL = '{"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}';
const TEXT = 'plain é / 😀 "usage": null';

/** An event may take several `data:` lines, one per line of its text. */
const lines = (text: string) => text.replaceAll("\n", "\ndata: ");
const answer = (texts: string[]) => stream([...texts, "[DONE]"].map(lines));

const ask = (more: object = {}, headers: Record<string, string> = {}) =>
  send("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: "Bearer sk-dev-alice", "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: "gpt-5-mini", messages, stream: true, ...more }),
  });

async function read(response: Response): Promise<string[]> {
  const texts: string[] = [];
  const events = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) texts.push(data);
  expect(texts.pop()).toBe("[DONE]");
  return texts;
}

describe("chunks that are written as no JSON.stringify would", () => {
  const upstream = [...written(', "usage": null'), TOTAL];
  const usage = { stream_options: { include_usage: true } };

  it("come as they were", async () => {
    world.upstream = () => answer(upstream);
    expect(await read(await ask(usage))).toEqual(upstream);
  });

  it("without usage, where none was asked for: nothing else of them is touched", async () => {
    world.upstream = () => answer(upstream);
    expect(await read(await ask())).toEqual(written(""));
  });

  it("come so again for who comes back", async () => {
    world.upstream = () => answer(upstream);
    const key = { "idempotency-key": "k" };
    await read(await ask(usage, key));
    expect(await read(await ask(usage, key))).toEqual(upstream);
    expect(world.calls).toHaveLength(1);
  });

  it("come so to who lags, though the mailbox slept", async () => {
    const many = [...Array(900)].map((_, n) => `{"id": "c${n}", "choices": [{"index": 0, "delta": {"content": "${"x".repeat(1_000)}"}}]}`);
    world.upstream = () => answer([...many, ...upstream]);
    const response = await ask(usage);
    const job = response.headers.get("x-sluice-job")!;
    await until(async () => (await call("GET", `/v1/jobs/${job}`)).body.status === "completed");
    await evict(mailboxOf(job));
    expect(await read(response)).toEqual([...many, ...upstream]);
  });

  it("are the same answer as a completion, and values to who watches", async () => {
    const values = JSON.parse(JSON.stringify(upstream.map(meaningOf)));
    const slow = script();
    world.upstream = slow.answer;
    slow.send(lines(upstream[0]!));
    const response = await ask(usage, { "x-sluice-channel": "c" });
    const job = response.headers.get("x-sluice-job")!;
    const client = await connect();
    await client.subscribe({ jobs: [job], deltas: true });
    for (const text of [...upstream.slice(1), "[DONE]"]) slow.send(lines(text));
    slow.break();
    expect(await read(response)).toEqual(upstream);
    await until(() => client.events(job).some(({ event }) => event === "completed"));
    const told = client.events(job).flatMap(({ data, event }) => (event === "delta" ? (data as { chunks: unknown[] }).chunks : []));
    expect(told).toEqual(values);
    const polled = await call<{ data: { event: string; data: { chunks: unknown[] } }[] }>("GET", `/v1/jobs/${job}/events?wait=0`);
    expect(polled.body.data.flatMap(({ data, event }) => (event === "delta" ? data.chunks : []))).toEqual(values);
    expect((await call("GET", `/v1/jobs/${job}`)).body.response).toMatchObject({ choices: [{ message: { content: TEXT } }] });
  });
});

describe("chunks that are no objects", () => {
  it("come as they were, and harm nothing", async () => {
    const upstream = ["null", '"text"', "[1, 2]", '{"choices": [null]}', ...written("")];
    world.upstream = () => answer([...upstream, TOTAL]);
    expect(await read(await ask())).toEqual(upstream);
  });
});
