/** A reader lacks more than one answer between two mailboxes can hold. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { JobEvent } from "../../schemas/event.ts";
import type { Missed, Missing } from "../../schemas/rpc.ts";
import { mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { later, running } from "../support/telling.ts";
import { chunk, completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const LETTERS = [..."abcdefghij"];
/** Characters of a piece. Ten pieces make several pages. */
const PIECE = 450_000;

/** A piece of a tool call's arguments: it is never merged with another. */
const tool = (text: string) =>
  chunk([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: text } }] }, logprobs: null, finish_reason: null }]);

function argumentsIn({ data, event }: JobEvent): string {
  if (event !== "delta") return "";
  const { chunks } = data as { chunks: { choices: { delta: { tool_calls?: { function: { arguments: string } }[] } }[] }[] };
  return chunks.map(({ choices }) => choices[0]?.delta.tool_calls?.[0]?.function.arguments ?? "").join("");
}
const said = (client: Client, job: string) => client.events(job).map(argumentsIn).join("");
const numbers = (client: Client, job: string) =>
  client.events(job).flatMap(({ from, seq }) => Array.from({ length: seq - (from ?? seq) + 1 }, (_, index) => (from ?? seq) + index));

/** A long stream that has ended, followed from `place` by a client that has lagged since its first piece. */
async function behind(place: string) {
  const [slow, watcher] = [await connect({ channel: place }), await connect({ channel: "c" })];
  slow.send({ type: "ack", frames: 0 });
  for (const each of [slow, watcher]) await each.subscribe({ channel: "c", deltas: true });
  const { id, send, finish } = await running({ channel: "c" });
  for (const letter of LETTERS) {
    send(tool(letter.repeat(PIECE)));
    await until(() => said(watcher, id).endsWith(letter));
  }
  finish();
  await watcher.saw(id, "completed");
  await until(() => slow.count("lagging") === 1);
  return { id, slow, watcher };
}

/** Acks everything that comes until the job's end has come. */
async function readAll(slow: Client, id: string): Promise<void> {
  for (let acked = 0; !slow.events(id).some(({ event }) => event === "completed"); ) {
    const all = slow.events().length;
    if (all > acked) slow.send({ type: "ack", frames: all - acked });
    acked = all;
    await until(() => slow.events().length > acked);
  }
}

it("a reader that lags with chunks that do not melt into one is told them in parts, by answers of bounded size", async () => {
  const { id, slow, watcher } = await behind("lobby");
  const answers: Missed[] = [];
  world.between.set("mailbox.missed", async (go) => {
    const answer = (await go()) as Missed;
    answers.push(answer);
    return answer;
  });
  await readAll(slow, id);
  expect(said(slow, id)).toBe(said(watcher, id));
  expect(numbers(slow, id)).toEqual(numbers(watcher, id));
  expect(answers.length).toBeGreaterThan(2);
  // Only deltas count: the `completed` event alone is as long as the whole answer.
  const deltas = answers.map(({ events }) => events.filter(({ event }) => event === "delta"));
  for (const told of deltas) expect(JSON.stringify(told).length).toBeLessThan(1_500_000);
  // The mailbox says which answer is the last, so it is never asked in vain.
  expect(answers.at(-1)).toMatchObject({ more: false });
  expect(answers.every(({ events }) => events.length > 0)).toBe(true);
});

it("what another tells comes while the pages of a long stream are asked for", async () => {
  const { id, slow } = await behind("lobby");
  const other = await connect({ channel: "lobby" });
  await other.subscribe({ channel: "d" });
  const held = { asked: 0, released: false };
  world.between.set("mailbox.missed", async (go, [job]) => {
    if ((job as Missing).id === id && ++held.asked > 1) await until(() => held.released);
    return go();
  });
  const reading = readAll(slow, id);
  await until(() => held.asked > 1);
  world.upstream = () => completion("ok");
  const { id: swift } = await submit({ channel: "d" });
  await other.saw(swift, "completed");
  held.released = true;
  await reading;
});

it("a reader at the mailbox itself is told page by page too", async () => {
  const { id, slow, watcher } = await behind("c");
  const waits = await submit({ channel: "c", ...later });
  await slow.subscribe({ jobs: [waits.id], deltas: true });
  await readAll(slow, id);
  expect(said(slow, id)).toBe(said(watcher, id));
  expect(numbers(slow, id)).toEqual(numbers(watcher, id));
  const { events, more } = (await mailbox("alice", "c").missed({ id, after: 2, deltas: true })) as Missed;
  expect(more).toBe(true);
  expect(JSON.stringify(events).length).toBeLessThan(1_500_000);
});
