/** Streams as some endpoints send them and SDKs accept them. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { advanceTo, ended, pool, submit, until, world } from "../support/service.ts";
import { chunksOf, completion, resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const sent = (text: string) => new Response(text, { headers: { "content-type": "text/event-stream" } });
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
