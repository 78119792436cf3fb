import { reset } from "cloudflare:test";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { QueueState } from "../../schemas/queue.ts";
import { changes } from "../../workers/operator/stream-queue.ts";
import { call, coordinator, send, submit } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const operator = { key: "sk-dev-operator" };
const state = (depth: number) => ({ object: "queue", pools: [{ id: "p", depth }] }) as unknown as QueueState;
const depths = (told: string[]) => told.map((data) => (JSON.parse(data) as QueueState).pools[0]!.depth);

/** Everything that is told of a queue with these depths, one per look. */
async function tell(seen: number[], patience = seen.length): Promise<{ told: number[]; looks: number }> {
  const [first, ...rest] = seen;
  let [looks, pauses] = [0, 0];
  const look = async () => state(rest[looks++] ?? rest.at(-1)!);
  const told: string[] = [];
  for await (const data of changes(state(first!), look, async () => pauses++ < patience - 1)) told.push(data);
  return { told: depths(told), looks };
}

describe("who watches the queue", () => {
  it("is told each state that differs from the one before, the first at once", async () => {
    expect((await tell([1, 1, 2, 2, 2, 1])).told).toEqual([1, 2, 1]);
  });

  it("has gone -> the queue is not looked at any more", async () => {
    expect(await tell([1, 2, 3, 4], 2)).toEqual({ told: [1, 2], looks: 1 });
  });

  it("for ever -> is let go after so many looks that its Worker may make no more", async () => {
    const { looks } = await tell([1, 1], 1e9);
    expect(looks).toBeLessThan(10_000);
  });

  it("over HTTP -> is sent events, of the state as it changes", async () => {
    await call("POST", "/v1/queue/pause", undefined, operator);
    const response = await send("/v1/queue/stream", { headers: { authorization: `Bearer ${operator.key}` } });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader();
    const next = async () => {
      const { value } = await reader.read();
      return { event: value!.event, pool: (JSON.parse(value!.data) as QueueState).pools.find(({ id }) => id === "gpt-5-mini")! };
    };
    expect(await next()).toMatchObject({ event: "queue", pool: { depth: 0 } });
    await submit();
    // A real wait of the Worker's own second: the test's clock does not move it.
    expect(await next()).toMatchObject({ event: "queue", pool: { depth: 1 } });
    await reader.cancel();
    expect((await coordinator().inspect()).pools).toContainEqual(expect.objectContaining({ depth: 1 }));
  });

  it("without the role -> 403", async () => {
    expect((await call("GET", "/v1/queue/stream")).status).toBe(403);
  });
});
