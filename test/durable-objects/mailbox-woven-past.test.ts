/** A consumer that comes back to streams that ran side by side. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { DeltaStore } from "../../durable-objects/mailbox/store/deltas.ts";
import { mailbox, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);
afterEach(() => {
  vi.restoreAllMocks();
});

const STREAMS = 10;
const DELTAS = 300;
const consumer = { channel: "c", consumer: "worker", deltas: true };

const chunk = (content: string) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-5-mini",
  choices: [{ index: 0, delta: { content }, finish_reason: null }],
});

it("streams that went on side by side are read for it row by row, not to their ends again for each delta", async () => {
  const first = await connect({ channel: "c" });
  await first.subscribe(consumer);
  first.socket.close(1000);
  world.upstream = script().answer;
  const jobs: string[] = [];
  for (let index = 0; index < STREAMS; index++) jobs.push((await submit({ channel: "c" })).id);
  await until(() => world.calls.length === STREAMS);
  for (let index = 0; index < DELTAS; index++)
    await mailbox("alice", "c").append(jobs.map((job) => ({ job, attempt: 1, index, chunks: [chunk(`word${index} `)] })));
  let read = 0;
  const real = DeltaStore.prototype.after;
  vi.spyOn(DeltaStore.prototype, "after").mockImplementation(function* (this: DeltaStore, ...args) {
    for (const delta of real.apply(this, args)) {
      read++;
      yield delta;
    }
  });
  const client = await connect({ channel: "c" });
  await client.subscribe(consumer);
  await until(() => client.events().filter(({ event }) => event === "delta").length === STREAMS * DELTAS, 2_000);
  expect(read).toBeLessThan(2 * STREAMS * DELTAS);
});
