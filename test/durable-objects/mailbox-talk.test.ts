/** What is said over sockets besides events, and frames that wait: both are bounded, per socket and for all together. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Talk } from "../../durable-objects/mailbox/talk.ts";
import type { ServerFrame } from "../../schemas/socket.ts";
import { submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { cleared } from "../support/stand.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

/** A thousand ids of jobs that do not exist, 640 kB in all. */
const NOTHING = Array.from({ length: 1_000 }, (_, n) => `${n}`.padEnd(640, "x"));
/** A frame whose answer has two hundred characters of each id. */
const ASKS = JSON.stringify({ type: "subscribe", jobs: NOTHING });

const characters = ({ frames }: Client) => frames.reduce((sum, each) => sum + JSON.stringify(each).length, 0);

/** The mailbox of a channel does not answer until the test is over. */
function hang(): void {
  const { calls: age } = world;
  world.between.set("mailbox.follow", async () => {
    // Polls, because no clock tells when the test is over.
    while (world.calls === age && world.between.has("mailbox.follow")) await scheduler.wait(2);
    throw new Error("hangs");
  });
}

describe("answers", () => {
  it("to an unsubscribe: what was followed is named, nothing else", async () => {
    const { id } = await submit({ channel: "c", not_before: world.now / 1_000 + 60 });
    const client = await connect({ channel: "c" });
    await client.subscribe({ jobs: [id] });
    client.send({ type: "unsubscribe", jobs: [id, id, ...NOTHING.slice(2)], channel: "other" });
    await until(() => client.count("unsubscribed") === 1);
    expect(client.frames.at(-1)).toEqual({ type: "unsubscribed", jobs: [id], channel: null });
  });

  it("a client that acks, and acks no more: it is let go before they fill the memory", async () => {
    const client = await connect({ channel: "c" });
    client.send({ type: "ack", frames: 0 });
    for (let n = 0; n < 60; n++) client.send(ASKS);
    await until(() => client.closed);
    expect(client.closed).toMatchObject({ code: 4408 });
    expect(characters(client)).toBeLessThan(5_000_000);
    // Other clients are still served.
    await (await connect({ channel: "c" })).subscribe({ channel: "c" });
  });

  it("a client that acks meanwhile goes on", async () => {
    const client = await connect({ channel: "c" });
    for (let n = 0; n < 40; n++) {
      client.send(ASKS);
      if (n % 10 === 0) client.send({ type: "ack", frames: 0 });
    }
    await until(() => client.count("subscribed") === 40);
    expect(client.closed).toBeNull();
  });

  it("a client that never acks, in its own time: it goes on", async () => {
    const client = await connect({ channel: "c" });
    for (let n = 1; n <= 40; n++) {
      client.send(ASKS);
      await until(() => client.count("subscribed") === n);
      world.now += 10_000;
    }
    expect(client.closed).toBeNull();
  });
});

describe("frames that wait for a mailbox that hangs", () => {
  it("a client that says more and more is let go, and others are served", async () => {
    const { id } = await submit({ channel: "far" });
    hang();
    const client = await connect({ channel: "c" });
    const after = Object.fromEntries(NOTHING.slice(1).map((each) => [each, 1]));
    for (let n = 0; n < 60; n++) client.send({ type: "subscribe", channel: "far", jobs: [id], after });
    await until(() => client.closed);
    expect(client.closed).toMatchObject({ code: 4429 });
    expect(client.count("subscribed")).toBeLessThan(8);
    await (await connect({ channel: "c" })).subscribe({ channel: "c" });
    world.between.delete("mailbox.follow");
  });
});

describe("all sockets of one object together", () => {
  const MILLION = 1_000_000;

  function talk(acks: (id: string) => boolean | null = () => true) {
    const closed: string[] = [];
    const all = new Talk({ now: () => world.now, acks, letGo: (id, code) => closed.push(`${id} ${code}`) });
    const sent: string[] = [];
    const socket = { send: (text: string) => sent.push(text) } as unknown as WebSocket;
    const answer = (id: string, size: number) =>
      all.answer(socket, id, { type: "unsubscribed", jobs: ["x".repeat(size)], channel: null } satisfies ServerFrame);
    return { all, answer, closed, sent };
  }

  it("read none of their answers: the one that was answered most is let go, and those who read are not", () => {
    const { all, answer, closed } = talk();
    for (let n = 0; n < 6; n++) answer(`s${n}`, n === 3 ? 3.9 * MILLION : 3.5 * MILLION);
    for (let n = 0; n < 20; n++) {
      answer("reads", MILLION);
      all.read("reads");
    }
    expect(closed).toEqual([]);
    answer("last", 3 * MILLION);
    expect(closed).toEqual(["s3 4408"]);
  });

  it("is gone: it is answered nothing", () => {
    const { answer, sent } = talk(() => null);
    answer("s", 10);
    expect(sent).toEqual([]);
  });

  it("have frames that wait: the one of which most waits is let go, and what is served counts no more", async () => {
    const { all, closed } = talk();
    let over = () => {};
    const hanging = new Promise<void>((done) => {
      over = done;
    });
    for (let n = 0; n < 6; n++) void all.serve(`s${n}`, n === 3 ? 3.9 * MILLION : 3.5 * MILLION, () => hanging);
    for (let n = 0; n < 20; n++) expect(await all.serve("quick", MILLION, async () => {})).toBe(true);
    expect(closed).toEqual([]);
    expect(await all.serve("late", 3 * MILLION, async () => {})).toBe(true);
    expect(closed).toEqual(["s3 4429"]);
    expect(await all.serve("s1", MILLION, async () => {})).toBe(false);
    over();
    await hanging;
    expect(await all.serve("s1", 3 * MILLION, async () => {})).toBe(true);
  });
});
