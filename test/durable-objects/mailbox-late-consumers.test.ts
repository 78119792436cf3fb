/** Consumers that read their past from the log, a part at a time. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MailboxStore } from "../../durable-objects/mailbox/store/store.ts";
import type { Mailbox } from "../support/entry.ts";
import { call, ended, evict, inside, mailbox, over, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { type Stand, standAt } from "../support/stand.ts";
import { later, running, start, unconfirmed } from "../support/telling.ts";
import { completion, EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);
afterEach(() => {
  vi.restoreAllMocks();
});

/** Five answers of this length fill a window. */
const LONG = "x".repeat(60_000);

const consumer = { channel: "c", consumer: "worker" };
const rows = (sql: string) => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec(sql).toArray());
const ends = (client: Client) => client.events().filter(({ event }) => event === "completed");

/** Sends a marker and waits for its echo: everything sent to this client before has then arrived. */
async function settled(client: Client): Promise<void> {
  const before = client.errors().length;
  client.send("not json");
  await until(() => client.errors().length > before);
}

/** A client that acks frames, and has acked none yet. */
async function acking(): Promise<Client> {
  const client = await connect({ channel: "c" });
  client.send({ type: "ack", frames: 0 });
  return client;
}

/** Acks what comes until `count` jobs have ended. */
async function ackUntil(client: Client, count: number): Promise<void> {
  for (let acked = 0; ends(client).length < count; ) {
    const [before, frames] = [ends(client).length, client.events().length];
    client.send({ type: "ack", frames: frames - acked });
    acked = frames;
    await until(() => ends(client).length > before);
  }
}

/** A consumer comes and goes; then `count` jobs end, with long answers. */
async function past(count: number): Promise<string[]> {
  const first = await connect({ channel: "c" });
  await first.subscribe(consumer);
  first.socket.close(1000);
  world.upstream = () => completion(LONG);
  const jobs = [];
  for (let index = 0; index < count; index++) jobs.push((await submit({ channel: "c" })).id);
  for (const id of jobs) await over(id);
  return jobs;
}

it("what another subscription of the socket tells it meanwhile stands for nothing but itself: after an ack and a return nothing is missing", async () => {
  const jobs = await past(8);
  const other = await submit({ channel: "c", ...later });
  const client = await acking();
  await client.subscribe({ jobs: [other.id] });
  await client.subscribe(consumer);
  await settled(client);
  expect(ends(client).length).toBeLessThan(jobs.length);
  // Makes room for something, but not for all the rest.
  const second = client.events().findIndex(({ job, event }) => job === jobs[1] && event === "completed");
  client.send({ type: "ack", frames: second + 1 });
  await call("POST", `/v1/jobs/${other.id}/cancel`);
  await client.saw(other.id, "cancelled");
  const cursor = client.events().reduce((most, event) => Math.max(most, event.cursor ?? 0), 0);
  client.send({ type: "ack", channel: "c", cursor });
  await settled(client);
  client.socket.close(1000);

  const again = await connect({ channel: "c" });
  await again.subscribe(consumer);
  await again.saw(other.id, "cancelled");
  await settled(again);
  const told = new Set([...ends(client), ...ends(again)].map(({ job }) => job));
  expect(told).toEqual(new Set(jobs));
});

it("a consumer that lacks nothing has nothing looked for, however often it comes", async () => {
  const looks = vi.spyOn(MailboxStore.prototype, "unsettled");
  const client = await connect({ channel: "c" });
  await client.subscribe(consumer);
  const { id } = await submit({ channel: "c" });
  const { cursor } = (await client.saw(id, "completed")) as { cursor?: number };
  client.send({ type: "ack", channel: "c", cursor });
  for (let count = 0; count < 3; count++) await client.subscribe(consumer);
  const { id: next } = await submit({ channel: "c" });
  await client.saw(next, "completed");
  expect(client.story(next)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  expect(looks).not.toHaveBeenCalled();
});

describe("a consumer that is slow", () => {
  it("is told a long past in parts as it acks, with the mailbox asleep in between, and then what comes", async () => {
    const jobs = await past(9);
    const client = await acking();
    await client.subscribe(consumer);
    await settled(client);
    expect(ends(client).length).toBeLessThan(9);
    await evict(mailbox("alice", "c"));
    await ackUntil(client, 9);
    const last = await submit({ channel: "c" });
    await client.saw(last.id, "completed");
    for (const id of [...jobs, last.id]) expect(new Set(client.story(id)).size).toBe(3);
    expect(await rows("SELECT place FROM subscriptions")).toEqual([{ place: null }]);
  });

  it("has what it missed looked for once, however many acks that takes, and is told what came meanwhile too", async () => {
    const jobs = await past(12);
    const looks = vi.spyOn(MailboxStore.prototype, "unsettled");
    const client = await acking();
    await client.subscribe(consumer);
    await settled(client);
    const next = await submit({ channel: "c", ...later });
    await ackUntil(client, 12);
    await client.saw(next.id, "queued");
    // At most two looks: the second is for what came since the first.
    expect(looks.mock.calls.length).toBeLessThanOrEqual(2);
    for (const id of jobs) expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  });

  it("is told of a job that the coordinator confirms while it is being told what came after that", async () => {
    await past(0);
    world.upstream = () => completion(LONG);
    const jobs = [];
    for (let count = 0; count < 9; count++) jobs.push((await submit({ channel: "c", ...later })).id);
    const confirm = unconfirmed();
    const slow = submit({ channel: "c", not_before: EPOCH / 1_000 + 600 });
    await until(async () => (await rows("SELECT n FROM jobs")).length === 10);
    await start();
    for (const id of jobs) await over(id);
    const client = await acking();
    await client.subscribe(consumer);
    await settled(client);
    expect(ends(client).length).toBeLessThan(9);
    confirm();
    const { id } = await slow;
    await ackUntil(client, 9);
    await client.saw(id, "queued");
  });

  it("falls behind while things happen: told so, and told the rest in order, with cursors", async () => {
    const client = await acking();
    await client.subscribe(consumer);
    world.upstream = () => completion(LONG);
    const jobs = [];
    for (let count = 0; count < 7; count++) jobs.push(await submit({ channel: "c" }));
    for (const { id } of jobs) await ended(id);
    await until(() => client.count("lagging") === 1);
    expect(await rows("SELECT count(*) AS n FROM lags")).toEqual([{ n: 0 }]);
    client.send({ type: "ack", frames: client.events().length });
    for (const { id } of jobs) await client.saw(id, "completed");
    const cursors = client.events().map(({ cursor }) => cursor!);
    expect(cursors).toEqual([...cursors].sort((a, b) => a - b));
    for (const { id } of jobs) expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  });
});

describe("a consumer that waits, for its socket lags behind with another mailbox, which does not answer", () => {
  /** The client acks the frames that came, with `more` in the same frame; on return, the other mailbox is being asked. */
  async function waiting(client: Client, more: () => object = () => ({})): Promise<Stand> {
    await client.subscribe({ channel: "d", deltas: true });
    const { id, say } = await running({ channel: "d" });
    for (const letter of "abcde") {
      say(letter.repeat(60_000));
      await until(() => client.text(id).endsWith(letter));
    }
    say("f");
    await until(() => client.count("lagging") === 1);
    const stand = standAt("mailbox.missed", "before it runs");
    client.send({ type: "ack", frames: client.events().length, ...more() });
    await until(() => stand.reached);
    return stand;
  }

  it("acks frames and a cursor in one frame -> the cursor stands, though its client leaves before there is an answer", async () => {
    const client = await acking();
    await client.subscribe(consumer);
    const { id } = await submit({ channel: "c", ...later });
    await client.saw(id, "queued");
    const { cursor } = client.events(id).at(-1)!;
    const stand = await waiting(client, () => ({ channel: "c", cursor }));
    client.socket.close(1000);
    await until(async () => (await rows("SELECT * FROM subscriptions")).length === 0);
    stand.go();
    expect(await rows("SELECT cursor FROM consumers")).toEqual([{ cursor }]);
  });

  it("and things happen -> each writes its own row, and one alone says where the consumer is", async () => {
    const client = await acking();
    await client.subscribe(consumer);
    const jobs = [];
    for (let count = 0; count < 10; count++) jobs.push((await submit({ channel: "c", ...later })).id);
    for (const id of jobs) await client.saw(id, "queued");
    const stand = await waiting(client);
    const written = () => inside(mailbox("alice", "c") as DurableObjectStub<Mailbox>, (object) => object.rowsWritten());
    const before = await written();
    for (const id of jobs) await call("POST", `/v1/jobs/${id}/cancel`);
    await settled(client);
    expect((await written()) - before).toBe(jobs.length + 1);
    stand.go();
    for (const id of jobs) await client.saw(id, "cancelled");
  });
});
