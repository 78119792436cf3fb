import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { advanceTo, call, ended, evict, inside, mailbox, send, submit, until } from "../support/service.ts";
import { answerOf, type Client, connect } from "../support/socket.ts";
import { EPOCH, refusal, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const later = { not_before: EPOCH / 1_000 + 60 };
const start = () => advanceTo(EPOCH + 60_000);
const WHOLE = ["1 queued", "2 in_progress", "3 completed"];

/** Sends a marker and waits for its echo: everything sent to this client before has then arrived. */
async function settled(client: Client): Promise<void> {
  const before = client.errors().length;
  client.send("not json");
  await until(() => client.errors().length > before);
}

const numbered = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`job_${index}`, 1]));

describe("without deltas", () => {
  it("a job, subscribed before it starts: queued, in_progress, end", async () => {
    const client = await connect();
    const { id } = await submit(later);
    await client.subscribe({ jobs: [id] });
    await client.saw(id, "queued");
    await start();
    const { data } = await client.saw(id, "completed");
    expect(client.story(id)).toEqual(WHOLE);
    expect(data).toEqual(await ended(id));
    expect(client.events(id)[0]!.data).toMatchObject({ id, object: "job", status: "scheduled" });
  });

  it("a job, subscribed after it ended: its whole story", async () => {
    const { id } = await submit();
    const done = await ended(id);
    const client = await connect();
    await client.subscribe({ jobs: [id] });
    expect((await client.saw(id, "completed")).data).toEqual(done);
    expect(client.story(id)).toEqual(WHOLE);
  });

  it("a job, subscribed while it runs", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit();
    await until(() => world.calls.length === 1);
    const client = await connect();
    await client.subscribe({ jobs: [id] });
    await client.saw(id, "in_progress");
    upstream.say("x");
    upstream.finish();
    await client.saw(id, "completed");
    expect(client.story(id)).toEqual(WHOLE);
  });

  it("a channel: every job that comes after, and none of another channel", async () => {
    const before = await submit({ channel: "c" });
    await ended(before.id);
    const client = await connect();
    await client.subscribe({ channel: "c" });
    const jobs = await Promise.all([submit({ channel: "c" }), submit({ channel: "c" }), submit({ channel: "d" }), submit()]);
    await Promise.all(jobs.map(({ id }) => ended(id)));
    await client.saw(jobs[1]!.id, "completed");
    await client.saw(jobs[0]!.id, "completed");
    await settled(client);
    expect(jobs.map(({ id }) => client.story(id))).toEqual([WHOLE, WHOLE, [], []]);
    expect(client.events(before.id)).toEqual([]);
  });

  it("several channels and jobs in other mailboxes, through one socket", async () => {
    const client = await connect();
    const lone = await submit(later);
    await client.subscribe({ channel: "a", jobs: [lone.id] });
    await client.subscribe({ channel: "b" });
    const jobs: Job[] = [lone];
    for (const channel of ["a", "b", "a"]) jobs.push(await submit({ channel, ...later }));
    await start();
    for (const { id } of jobs) await client.saw(id, "completed");
    for (const { id } of jobs) expect(client.story(id)).toEqual(WHOLE);
  });

  it.each([
    ["in one frame", [{ both: true }]],
    ["channel first", [{ channel: true }, { job: true }]],
    ["job first", [{ job: true }, { channel: true }]],
  ] as const)("a job by its id and by its channel, %s: no event twice", async (_, frames) => {
    for (const place of [undefined, "c"]) {
      const client = await connect(place ? { channel: place } : {});
      const { id } = await submit({ channel: "c", ...later });
      for (const frame of frames as readonly { both?: boolean; job?: boolean; channel?: boolean }[]) {
        await client.subscribe({
          ...(frame.both || frame.job ? { jobs: [id] } : {}),
          ...(frame.both || frame.channel ? { channel: "c" } : {}),
        });
      }
      world.now = EPOCH;
      await start();
      await client.saw(id, "completed");
      await settled(client);
      expect(client.story(id)).toEqual(WHOLE);
      world.now = EPOCH;
    }
  });

  it("?channel= places the socket where the events arise, and subscribes to nothing", async () => {
    const client = await connect({ channel: "c" });
    const sockets = await inside(mailbox("alice", "c"), (_, state) => state.getWebSockets().length);
    expect(sockets).toBe(1);
    const { id } = await submit({ channel: "c" });
    await ended(id);
    await settled(client);
    expect(client.events()).toEqual([]);
    await client.subscribe({ channel: "c" });
    const next = await submit({ channel: "c" });
    await client.saw(next.id, "completed");
    expect(client.story(next.id)).toEqual(WHOLE);
  });

  it("two tenants on channels of one name see each their own", async () => {
    const [alice, bob] = [await connect(), await connect({ key: "sk-dev-bob" })];
    await alice.subscribe({ channel: "c" });
    await bob.subscribe({ channel: "c" });
    const mine = await submit({ channel: "c" });
    const theirs = await submit({ channel: "c" }, {}, "sk-dev-bob");
    await alice.saw(mine.id, "completed");
    await bob.saw(theirs.id, "completed");
    expect([alice.events(theirs.id), bob.events(mine.id)]).toEqual([[], []]);
  });
});

describe("ends", () => {
  it("failed", async () => {
    world.upstream = () => refusal(400, "bad");
    const client = await connect();
    const { id } = await submit(later);
    await client.subscribe({ jobs: [id] });
    await start();
    expect((await client.saw(id, "failed")).data).toEqual(await ended(id));
    expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 failed"]);
  });

  it("cancelled", async () => {
    const client = await connect();
    const { id } = await submit(later);
    await client.subscribe({ jobs: [id] });
    const { body } = await call("POST", `/v1/jobs/${id}/cancel`);
    expect((await client.saw(id, "cancelled")).data).toEqual(body);
    expect(client.story(id)).toEqual(["1 queued", "2 cancelled"]);
  });

  it("expired", async () => {
    const client = await connect();
    const { id } = await submit({ ...later, deadline: EPOCH / 1_000 + 61 });
    await client.subscribe({ jobs: [id] });
    await advanceTo(EPOCH + 61_000);
    expect((await client.saw(id, "expired")).data).toMatchObject({ status: "expired", error: { code: "deadline_exceeded" } });
    expect(client.story(id)).toEqual(["1 queued", "2 expired"]);
  });

  it("retrying: an attempt that failed is told, with its reason and the time of the next", async () => {
    const client = await connect();
    const { id } = await submit(later);
    await client.subscribe({ jobs: [id] });
    world.upstream = () => refusal(503, "busy");
    await start();
    const { data } = await client.saw(id, "retrying");
    const error = { message: "refused: busy", code: "busy", status: 503 };
    expect(data).toEqual({ attempt: 1, retry_at: EPOCH / 1_000 + 60.5, error, failed_at: EPOCH / 1_000 + 60 });
    const upstream = script();
    world.upstream = upstream.answer;
    await advanceTo(EPOCH + 61_000);
    upstream.finish();
    await client.saw(id, "completed");
    expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 retrying", "4 in_progress", "5 completed"]);
  });
});

describe("leaving", () => {
  it.each(["jobs", "channel"] as const)("unsubscribed from %s: nothing more comes, for others it goes on", async (kind) => {
    const [leaver, stayer] = [await connect(), await connect()];
    const { id } = await submit({ channel: "c", ...later });
    const what = kind === "jobs" ? { jobs: [id] } : { channel: "c" };
    await leaver.subscribe(what);
    await stayer.subscribe(what);
    leaver.send({ type: "unsubscribe", ...what });
    await until(() => leaver.frames.some((frame) => typeof frame !== "string" && frame.type === "unsubscribed"));
    const before = leaver.events().length;
    await start();
    await stayer.saw(id, "completed");
    await settled(leaver);
    expect(leaver.events()).toHaveLength(before);
  });

  it("the last to leave is forgotten, on both sides", async () => {
    const client = await connect({ channel: "lobby" });
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe({ jobs: [id], channel: "c" });
    const followers = () =>
      inside(mailbox("alice", "c"), (_, state) => state.storage.sql.exec("SELECT count(*) AS n FROM followers").one().n);
    const subscriptions = () =>
      inside(mailbox("alice", "lobby"), (_, state) => state.storage.sql.exec("SELECT count(*) AS n FROM subscriptions").one().n);
    // Both sides answer first and write afterwards.
    const both = async (n: number) => (await followers()) === n && (await subscriptions()) === n;
    await until(() => both(2));
    client.socket.close(1000, "bye");
    await until(() => both(0));
  });

  it.each([
    [1000, "done"],
    [3000, ""],
    [4999, "Grüße"],
  ])("the client's own close comes back: %i %s", async (code, reason) => {
    const client = await connect();
    client.socket.close(code, reason);
    expect(await until(() => client.closed)).toEqual({ code, reason, wasClean: true });
  });

  it("a close without a code comes back clean", async () => {
    const client = await connect();
    client.socket.close();
    expect(await until(() => client.closed)).toMatchObject({ wasClean: true });
  });

  it("a close is answered by an object that slept", async () => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    await evict(mailbox("alice", "c"));
    client.socket.close(4001, "bye");
    expect(await until(() => client.closed)).toEqual({ code: 4001, reason: "bye", wasClean: true });
  });
});

describe("frames that cannot be", () => {
  const frames: [string, string | ArrayBuffer, string][] = [
    ["no JSON", "{", "invalid_frame"],
    ["a JSON text", '"subscribe"', "invalid_frame"],
    ["null", "null", "invalid_frame"],
    ["an unknown type", '{"type":"dance"}', "invalid_frame"],
    ["no type", "{}", "invalid_frame"],
    ["jobs that are no list", '{"type":"subscribe","jobs":"x"}', "invalid_frame"],
    ["too many jobs", JSON.stringify({ type: "subscribe", jobs: Array(1_001).fill("x") }), "invalid_frame"],
    ["a seq that is none", '{"type":"subscribe","jobs":[],"after":{"x":-1}}', "invalid_frame"],
    ["a seq beyond all numbers", '{"type":"subscribe","jobs":[],"after":{"x":1e300}}', "invalid_frame"],
    ["a resume point of no job", JSON.stringify({ type: "subscribe", after: { ["x".repeat(641)]: 1 } }), "invalid_frame"],
    ["too many resume points", JSON.stringify({ type: "subscribe", after: numbered(1_001) }), "invalid_frame"],
    ["a count that is none", '{"type":"ack","frames":-1}', "invalid_frame"],
    ["a job that is none", '{"type":"subscribe","jobs":["x"]}', "job_not_found"],
  ];
  it.each(frames)("%s: an error, and the socket stays usable", async (_, frame, code) => {
    const client = await connect({ channel: "c" });
    client.socket.send(frame);
    await until(() => client.errors().length > 0);
    expect(client.errors()).toEqual([code]);
    await client.subscribe({ channel: "c" });
    const { id } = await submit({ channel: "c" });
    await client.saw(id, "completed");
    expect(client.closed).toBeNull();
  });

  it.each<[string, string | ArrayBuffer, string, number]>([
    ["binary", new Uint8Array([1, 2]).buffer, "invalid_frame", 1003],
    ["too long", JSON.stringify({ type: "ack", padding: "x".repeat(2_000_000) }), "invalid_frame", 1009],
  ])("%s: an error, and the close code that the table says", async (_, frame, error, code) => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    client.socket.send(frame);
    expect(await until(() => client.closed)).toMatchObject({ code, wasClean: true });
    expect(client.errors()).toEqual([error]);
    const left = await inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM followers").one().n);
    expect(left).toBe(0);
  });

  it("one after another: 31 are borne, the next is the last", async () => {
    const client = await connect();
    for (let count = 1; count < 32; count++) client.send("{");
    await client.subscribe({ channel: "c" });
    client.send("{");
    expect(await until(() => client.closed)).toMatchObject({ code: 4400, reason: "invalid_frame" });
    expect(client.errors()).toHaveLength(32);
  });

  it("too many at once: an error, and 4429", async () => {
    const client = await connect();
    await settled(client);
    for (let count = 0; count < 2_001; count++) client.send({ type: "ack" });
    expect(await until(() => client.closed, 4_000)).toMatchObject({ code: 4429 });
    expect(client.errors().at(-1)).toBe("too_many_frames");
  });

  it("more subscriptions than a socket holds: refused by name, those before go on", async () => {
    const client = await connect({ channel: "c" });
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe({ channel: "c" });
    await inside(mailbox("alice", "c"), (_, { storage }) => {
      const { socket } = storage.sql.exec("SELECT socket FROM subscriptions").one();
      for (let n = 1; n < 10_000; n++)
        storage.sql.exec("INSERT INTO subscriptions (socket, target, deltas) VALUES (?, ?, 0)", socket, `job:none${n}`);
    });
    await evict(mailbox("alice", "c"));
    client.send({ type: "subscribe", jobs: [id] });
    await until(() => client.errors().length > 0);
    expect(client.errors()).toEqual(["too_many_subscriptions"]);
    // What the socket already follows takes no more room.
    await client.subscribe({ channel: "c", jobs: ["none1", "none1"], deltas: true });
    expect(client.errors()).toEqual(["too_many_subscriptions", "job_not_found"]);
    await start();
    await client.saw(id, "completed");
  });

  it("another tenant's job, and one that never was, are not there; the others of the frame are followed", async () => {
    const theirs = await submit({}, {}, "sk-dev-bob");
    const mine = await submit(later);
    const gone = mine.id.replace(/(.{16})......(.*)/, "$1zzzzzz$2");
    const client = await connect();
    await client.subscribe({ jobs: [theirs.id, gone, mine.id] });
    await until(() => client.errors().length === 2);
    expect(client.errors()).toEqual(["job_not_found", "job_not_found"]);
    await start();
    await client.saw(mine.id, "completed");
    expect(client.story(mine.id)).toEqual(WHOLE);
  });

  // The longest channel name takes 512 characters of its jobs' ids.
  it("a job of the longest channel name can be followed", async () => {
    const { id } = await submit({ channel: "漢".repeat(128) });
    const client = await connect();
    client.send({ type: "subscribe", jobs: [id] });
    await until(() => client.frames.length > 0);
    expect(client.errors()).toEqual([]);
  });

  it.each(["x".repeat(129), "~0"])("a channel that cannot be, %j: an error", async (channel) => {
    const client = await connect();
    client.send({ type: "subscribe", channel });
    await until(() => client.frames.length > 0);
    expect(client.errors()).toEqual(["invalid_frame"]);
  });

  it("ack is taken in silence", async () => {
    const client = await connect();
    client.send({ type: "ack", jobs: {} });
    await settled(client);
    expect(client.frames).toHaveLength(1);
  });
});

describe("ping", () => {
  it("is answered without waking the object, and its events still arrive after", async () => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    await evict(mailbox("alice", "c"));
    const wakes = world.wakes.get("alice/c");
    client.send("ping");
    await until(() => client.frames.includes("pong"));
    expect(world.wakes.get("alice/c")).toBe(wakes);
    const { id } = await submit({ channel: "c" });
    expect(answerOf((await client.saw(id, "completed")).data as Job)).toBe("ok");
    expect(world.wakes.get("alice/c")).toBe(wakes! + 1);
  });
});

it("a channel has as many sockets as the platform lets one object have -> 503, and those that it has are served", async () => {
  const first = await connect({ channel: "c" });
  await inside(mailbox("alice", "c"), (_, state) => {
    vi.spyOn(state, "acceptWebSocket").mockImplementation(() => {
      throw new Error("only 32768 websockets can be accepted on a single Durable Object instance");
    });
  });
  const headers = { upgrade: "websocket", authorization: "Bearer sk-dev-alice" };
  const refused = await send("/v1/subscribe?channel=c", { headers });
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({
    error: { type: "server_error", code: "overloaded", message: expect.stringContaining("sockets") },
  });
  await first.subscribe({ channel: "c" });
  const { id } = await submit({ channel: "c" });
  await first.saw(id, "completed");
});
