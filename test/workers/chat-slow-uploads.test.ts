/** Callers whose bodies take as long to arrive as the callers wait for an answer. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { params } from "../support/sdk.ts";
import { call, send } from "../support/service.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json", "x-sluice-channel": "c" };

/** The end of the body comes a good second after its beginning: in real time, which is what the door goes by. */
function ask(body: object, more: Record<string, string>): Promise<Response> {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  const pieces = [bytes.slice(0, 10), bytes.slice(10)];
  const slow = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = pieces.shift();
      if (pieces.length === 0 && piece) await scheduler.wait(1_100);
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });
  return send("/v1/chat/completions", { method: "POST", headers: { ...headers, ...more }, body: slow });
}

it("a read time-out (Python's) that the upload outlasts -> it counts from the end of that, as for the client: answered", async () => {
  world.upstream = () => completion("ok");
  const response = await ask(params, { "x-stainless-read-timeout": "1", "x-stainless-lang": "python" });
  expect([response.status, await response.json()]).toMatchObject([200, { object: "chat.completion" }]);
});

it("a stream that queues begins when its client's time is all but over -> comments go out as often as for any other", async () => {
  await call("POST", "/v1/queue/pause", {}, { key: "sk-dev-operator" });
  const response = await ask({ ...params, stream: true }, { "x-stainless-timeout": "1", "x-stainless-lang": "js" });
  const reader = response.body!.getReader();
  // A real wait, because comments come in real time.
  const over = scheduler.wait(1_000).then(() => null);
  let heard = 0;
  for (let next = reader.read(); (await Promise.race([next, over])) !== null; next = reader.read()) heard++;
  await reader.cancel().catch(() => {});
  // The place in the queue, and a comment every third of a second.
  expect(heard).toBeLessThan(10);
});
