/** Streams as some endpoints send them and SDKs accept them. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { wholeOf } from "../../durable-objects/dispatcher/sse.ts";
import { advanceTo, call, ended, pool, submit, until, world } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { chunksOf, completion, gated, resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const sent = (text: string) => new Response(text, { headers: { "content-type": "text/event-stream" } });
const CHOICE = { index: 0, message: { role: "assistant", content: "whole" }, finish_reason: "stop" };
const PLAIN = JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "gpt-5-mini", choices: [CHOICE] });
const WHOLE = chunksOf("whole").map((each) => `data: ${JSON.stringify(each)}`);

it("the last event is ended by nothing but the body's end -> the answer is whole", async () => {
  world.upstream = () => sent(`${WHOLE.join("\n\n")}\n`);
  const { id } = await submit();
  expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
  expect(world.calls).toHaveLength(1);
});

it("a byte order mark, every kind of line end, comments and events without data -> the answer is whole", async () => {
  world.upstream = () => sent(`\ufeff: hello\r\n${WHOLE.join("\r\r")}\r\n\r\nevent: nothing\n\ndata\n\ndata: [DONE]\n\n`);
  const { id } = await submit();
  expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
});

it("no stream, but the answer itself -> it is the job's, paid for once, and who follows it gets its text", async () => {
  const asked = { id: "call_1", type: "function", function: { name: "f", arguments: "{}" } };
  const message = { role: "assistant", content: "whole", tool_calls: [asked], refusal: null, annotations: [] };
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
  const answer = {
    ...{ id: "chatcmpl-1", object: "chat.completion", created: 1, model: "gpt-5-mini", system_fingerprint: "fp" },
    ...{ choices: [{ index: 0, message, logprobs: null, finish_reason: "tool_calls" }], usage },
  };
  const held = gated(() => Response.json(answer, { headers: { "content-type": "application/json; charset=utf-8" } }));
  const client = await connect();
  const { id } = await submit();
  await client.subscribe({ jobs: [id], deltas: true });
  held.open = true;
  expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, usage, response: answer });
  await client.saw(id, "completed");
  expect(client.text(id)).toBe("whole");
  expect(world.calls).toHaveLength(1);
});

it("a web page, with status 200 -> the pool is halted as for a wrong address, and the job waits", async () => {
  world.upstream = () => new Response("<html>Log in</html>", { headers: { "content-type": "text/html" } });
  const { id } = await submit();
  const { condition } = await until(async () => {
    const found = await pool();
    return found.condition.state === "halted" && found;
  });
  expect(condition).toMatchObject({ reason: "credentials", code: "unknown_url" });
  expect((await call("GET", `/v1/jobs/${id}`)).body).toMatchObject({ status: "queued", attempts: 0, possible_duplicates: 0 });
});

it.each([
  ["streamed", (deep: string) => sent(`${WHOLE[0]!.slice(0, -1)},"x":${deep}}\n\n${WHOLE.slice(1).join("\n\n")}\n\n`)],
  ["plain", (deep: string) => new Response(`${PLAIN.slice(0, -1)},"x":${deep}}`, { headers: { "content-type": "application/json" } })],
])(
  "a field nested thousands of levels deep, %s -> the answer is the job's without what nobody could write out, and lists stay readable",
  async (_, answer) => {
    world.upstream = () => answer(`${"[".repeat(6_000)}${"]".repeat(6_000)}`);
    const { id } = await submit({ channel: "c" });
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
    for (const path of [`/${id}`, `/${id}/why`, "", "?channel=c"]) expect((await call("GET", `/v1/jobs${path}`)).status).toBe(200);
    expect((await call("GET", `/v1/jobs/${id}/events`, undefined, { headers: { accept: "application/json" } })).status).toBe(200);
  },
);

it("no stream, but an error in an answer that claims to be none -> what it says decides", async () => {
  const error = { message: "no such thing", type: "invalid_request_error", code: "nonsense", param: null };
  world.upstream = () => Response.json({ error });
  const { id } = await submit();
  expect(await ended(id)).toMatchObject({ status: "failed", attempts: 1, error: { code: "nonsense", message: "no such thing" } });
});

it.each(['{"error":{"message":"broke","code":"broken"}}', '{"message":"broke"}', "null"])(
  "an event named error, %s -> the answer broke, and nothing of it is taken for a chunk",
  async (data) => {
    world.upstream = () =>
      world.calls.length > 1 ? completion("again") : sent(`event: error\ndata: ${data}\n\n${WHOLE.join("\n\n")}\n\n`);
    const { id } = await submit({ retry: "always" });
    await until(async () => world.calls.length === 1 && (await pool()).depth === 1);
    await advanceTo(world.now + 60_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 2 });
    expect(world.calls).toHaveLength(2);
  },
);

it("a plain answer that is too long -> its body is left, and nothing more of it comes", async () => {
  let left = false;
  const piece = new Uint8Array(4_000_000).fill(32);
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(piece),
    cancel: () => {
      left = true;
    },
  });
  await expect(wholeOf(body, new AbortController().signal, () => {})).rejects.toThrow("too long");
  expect(left).toBe(true);
});
