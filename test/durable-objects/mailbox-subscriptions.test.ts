/** Subscriptions that come and go while the past of their targets is being fetched. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FollowCall } from "../../schemas/rpc.ts";
import { advanceTo, evict, inside, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { later, running } from "../support/telling.ts";
import { EPOCH, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

/** Sends a marker and waits for its echo: everything sent to this client before has then arrived. */
async function settled(client: Client): Promise<void> {
  const before = client.errors().length;
  client.send("not json");
  await until(() => client.errors().length > before);
}

/** Holds the answers to `follow` calls; the test lets them go one by one. */
function gate() {
  const stands = { asked: 0, answered: 0 };
  world.between.set("mailbox.follow", async (go) => {
    const answer = await go();
    const turn = ++stands.asked;
    await until(() => stands.answered >= turn);
    return answer;
  });
  return stands;
}

describe("a job is subscribed to, unsubscribed and subscribed to again in one breath", () => {
  it.each([
    ["by its id", (id: string) => ({ jobs: [id] })],
    ["by its channel", () => ({ channel: "c" })],
  ])("%s: what happens meanwhile comes after the past, and everything once", async (_, named) => {
    const { id, say, finish } = await running({ channel: "c" });
    const watcher = await connect({ channel: "lobby" });
    await watcher.subscribe({ channel: "c", deltas: true });
    for (const word of ["a", "b"]) {
      say(word);
      await until(() => watcher.text(id).endsWith(word));
    }
    const client = await connect({ channel: "lobby" });
    const stands = gate();
    const what = named(id);
    client.send({ type: "subscribe", ...what, deltas: true });
    await until(() => stands.asked === 1);
    client.send({ type: "unsubscribe", ...what });
    client.send({ type: "subscribe", ...what, after: { [id]: 2 }, deltas: true });
    await until(() => client.count("subscribed") === 2);
    stands.answered = 1;
    await until(() => stands.asked === 2);
    say("c");
    await until(() => watcher.text(id) === "abc");
    stands.answered = 2;
    await until(() => client.text(id).endsWith("c"));
    finish();
    await client.saw(id, "completed");
    expect(client.text(id)).toBe("abc");
    const seqs = watcher.events(id).flatMap(({ seq }) => (seq > 2 ? [seq] : []));
    expect(client.events(id).map(({ seq }) => seq)).toEqual(seqs);
  });
});

it("a job that a frame names twice is followed once, and its events come as they happen", async () => {
  const { id, finish } = await running({ channel: "c" });
  const client = await connect({ channel: "lobby" });
  client.send({ type: "subscribe", jobs: [id, id] });
  await client.saw(id, "in_progress");
  finish();
  await client.saw(id, "completed");
  expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
});

it.each([
  ["that are none", () => Array.from({ length: 990 }, (_, index) => `x${index}`)],
  [
    "that were never submitted",
    async () => {
      const { id } = await submit({ channel: "c" });
      return Array.from({ length: 200 }, (_, index) => id.replace(/(.{20})...(.*)/, `$1${(index + 36 ** 2).toString(36)}$2`));
    },
  ],
])("jobs %s are named in one answer, not in one each", async (_, named) => {
  const jobs = await named();
  const client = await connect({ channel: "lobby" });
  client.send({ type: "subscribe", jobs: [...jobs, ...jobs.slice(0, 10)] });
  await until(() => client.count("error") > 0);
  await client.subscribe({ channel: "c" });
  expect(client.frames.filter((frame) => typeof frame !== "string" && frame.type === "error")).toEqual([
    { type: "error", error: { code: "job_not_found", message: `No jobs with the ids ${jobs.join(", ")}.`, param: "jobs" } },
  ]);
});

describe("another mailbox answers slowly", () => {
  const rows = () => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT target FROM followers").toArray());
  /** Holds the `follow` calls for one job until `go`. */
  function slow(id: string) {
    const held = { asked: 0, answered: 0, go: false };
    world.between.set("mailbox.follow", async (go, [call]) => {
      if ((call as FollowCall).jobs[0]?.id !== id) return go();
      held.asked++;
      await until(() => held.go);
      const answer = await go();
      held.answered++;
      return answer;
    });
    return held;
  }

  it("one client asks again and again: it is asked once at a time, and who else is there is answered meanwhile", async () => {
    const [mine, theirs] = [await submit({ channel: "c", ...later }), await submit({ channel: "c", ...later })];
    const [noisy, client] = [await connect({ channel: "lobby" }), await connect({ channel: "lobby" })];
    const held = slow(mine.id);
    for (let frame = 0; frame < 20; frame++) await noisy.subscribe({ jobs: [mine.id] });
    await client.subscribe({ jobs: [theirs.id] });
    await client.saw(theirs.id, "queued");
    expect(held.asked).toBe(1);
    expect(noisy.events()).toEqual([]);
    held.go = true;
    await until(() => held.answered === 20);
    await noisy.saw(mine.id, "queued");
  });

  it("many ask for the same: it is asked by some at a time, and all are answered", async () => {
    const { id } = await submit({ channel: "c", ...later });
    const held = slow(id);
    const clients = await Promise.all(Array.from({ length: 12 }, () => connect({ channel: "lobby" })));
    for (const client of clients) await client.subscribe({ jobs: [id] });
    for (const client of clients) await settled(client);
    expect(held.asked).toBe(8);
    held.go = true;
    for (const client of clients) await client.saw(id, "queued");
  });

  it("what was unsubscribed from while it waited is not asked for", async () => {
    const [mine, theirs] = [await submit({ channel: "c", ...later }), await submit({ channel: "c", ...later })];
    const client = await connect({ channel: "lobby" });
    const held = slow(mine.id);
    for (let frame = 0; frame < 3; frame++) await client.subscribe({ jobs: [mine.id] });
    client.send({ type: "unsubscribe", jobs: [mine.id] });
    await client.subscribe({ jobs: [theirs.id] });
    held.go = true;
    await client.saw(theirs.id, "queued");
    expect(held.asked).toBe(1);
    await until(async () => (await rows()).length === 1);
    expect(await rows()).toEqual([{ target: 2 }]);
    expect(client.errors()).toEqual([]);
  });

  it("who leaves before the answer is no follower after it", async () => {
    const { id } = await submit({ channel: "c", ...later });
    const [client, other] = [await connect({ channel: "lobby" }), await connect({ channel: "lobby" })];
    const held = slow(id);
    await client.subscribe({ jobs: [id] });
    await until(() => held.asked === 1);
    client.socket.close(1000);
    await until(() => client.closed);
    await settled(other);
    held.go = true;
    await until(() => held.answered === 1);
    await until(async () => (await rows()).length === 0);
  });
});

describe("the coordinator is asked of a channel's jobs", () => {
  /** Counts the jobs that the coordinator is asked about; each question waits for `open`. */
  function count() {
    const asked = { jobs: 0, open: true };
    world.between.set("coordinator.watch", async (go, [wishes]) => {
      asked.jobs += (wishes as unknown[]).length;
      await until(() => asked.open);
      return go();
    });
    return asked;
  }
  const ids = async (count: number) => {
    const jobs = [];
    for (let index = 0; index < count; index++) jobs.push((await submit({ channel: "c", ...later })).id);
    return jobs;
  };

  it("when somebody begins to follow it, and when deltas are wanted first; not by the same frame again", async () => {
    const jobs = await ids(5);
    const asked = count();
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    await until(() => asked.jobs === 5);
    await client.subscribe({ channel: "c", deltas: true });
    await until(() => asked.jobs === 10);
    for (const deltas of [true, false, true]) await client.subscribe({ channel: "c", deltas });
    await advanceTo(EPOCH + 60_000);
    for (const id of jobs) await client.saw(id, "completed");
    expect(asked.jobs).toBe(10);
  });

  it("once, by however many frames in the time of an answer", async () => {
    const jobs = await ids(5);
    const asked = count();
    asked.open = false;
    const client = await connect({ channel: "c" });
    for (let frame = 0; frame < 10; frame++) await client.subscribe({ jobs });
    await settled(client);
    asked.open = true;
    await advanceTo(EPOCH + 60_000);
    for (const id of jobs) await client.saw(id, "completed");
    expect(asked.jobs).toBe(5);
  });
});

describe("resume points", () => {
  it.each(["c", "lobby"])(
    "of jobs that there are not, at %s: nothing is kept of them, and what was sent of others is still known",
    async (place) => {
      const client = await connect({ channel: place });
      await client.subscribe({ channel: "c" });
      world.upstream = () => refusal(400, "bad");
      const { id } = await submit({ channel: "c" });
      await client.saw(id, "failed");
      for (const frame of [0, 1]) {
        const none = Array.from({ length: 1_000 }, (_, index) => [`${id}${frame}_${index}`, 1]);
        await client.subscribe({ channel: "c", after: Object.fromEntries(none) });
      }
      const next = await submit({ channel: "c" });
      await client.saw(next.id, "failed");
      // As after a verdict whose answer was lost.
      const problem = { status: 400, type: "t", code: "c", message: "m", param: null };
      await mailbox("alice", "c").judge([{ job: id, attempt: 1, kind: "failed", attempts: 1, unknown: 0, problem }]);
      const last = await submit({ channel: "c" });
      await client.saw(last.id, "failed");
      expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 failed"]);
      expect(client.errors()).toEqual([]);
    },
  );
});

describe("all sockets of one object follow as much as it holds", () => {
  /** Five sockets that follow ten thousand jobs each. */
  async function crowd() {
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect({ channel: "c" })));
    for (const client of clients) await client.subscribe({ channel: "c" });
    await inside(mailbox("alice", "c"), (_, { storage }) => {
      storage.sql.exec(
        `WITH RECURSIVE each(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM each WHERE n < 9999)
         INSERT INTO subscriptions (socket, target, deltas) SELECT socket, 'job:none' || n, 0 FROM subscriptions, each`,
      );
    });
    await evict(mailbox("alice", "c"));
    return clients;
  }

  it("more is refused by name, but one job or channel for each socket, and what it follows already; until others leave", async () => {
    const clients = await crowd();
    const [one, two] = [await submit({ channel: "c", ...later }), await submit({ channel: "c", ...later })];
    const client = await connect({ channel: "c" });
    client.send({ type: "subscribe", jobs: [one.id, two.id] });
    await until(() => client.errors().length > 0);
    expect(client.errors()).toEqual(["channel_full"]);
    expect(client.count("subscribed")).toBe(0);
    await client.subscribe({ jobs: [one.id] });
    await client.saw(one.id, "queued");
    await client.subscribe({ jobs: [one.id], deltas: true });
    client.send({ type: "subscribe", jobs: [two.id] });
    await until(() => client.errors().length > 1);
    expect(client.errors()).toEqual(["channel_full", "channel_full"]);
    clients[0]!.send({ type: "unsubscribe", jobs: ["none1"] });
    await until(() => clients[0]!.count("unsubscribed") === 1);
    await client.subscribe({ jobs: [one.id] });
    client.send({ type: "subscribe", jobs: [two.id] });
    await until(() => client.errors().length > 2);
    clients[0]!.socket.close(1000);
    await until(async () => {
      client.send({ type: "subscribe", jobs: [two.id] });
      return client.count("subscribed") >= 4;
    });
    await client.saw(two.id, "queued");
    await clients[1]!.saw(two.id, "queued");
  });
});
