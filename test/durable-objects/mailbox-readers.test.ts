/** Many readers, and slow ones. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { gapMs } from "../../policy/spacing.ts";
import type { AppendCall, Appended } from "../../schemas/rpc.ts";
import { advanceTo, evict, inside, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { later, running } from "../support/telling.ts";
import { completion, EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);
afterEach(() => {
  vi.restoreAllMocks();
});

/** Characters of a piece. Five pieces fill a window. */
const PIECE = 60_000;
const piece = (letter: string) => letter.repeat(PIECE);

/** Sends a marker and waits for its echo: everything sent to this client before has then arrived. */
async function settled(client: Client): Promise<void> {
  const before = client.errors().length;
  client.send("not json");
  await until(() => client.errors().length > before);
}

const lags = (channel: string) =>
  inside(mailbox("alice", channel), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM lags").one().n);

const rowsOf = (sql: string) => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec(sql).one().n);

/** Fills up a client that acks frames, and then acks no more: it has `abcde` of a job's stream. */
async function full(slow: Client) {
  slow.send({ type: "ack", frames: 0 });
  await slow.subscribe({ channel: "c", deltas: true });
  const { id, say, finish } = await running({ channel: "c" });
  for (const letter of "abcde") {
    say(piece(letter));
    await until(() => slow.text(id).endsWith(letter));
  }
  return { id, say, finish };
}

/** Makes the client lag: it lacks `f`. */
async function lagging(slow: Client) {
  const { id, say, finish } = await full(slow);
  say("f");
  await until(() => slow.count("lagging") === 1);
  return { id, say, finish };
}

describe("many who watch one answer", () => {
  it("each delta is written out once for all, and they come in fewer, larger pieces the more there are", async () => {
    const watchers = await Promise.all(Array.from({ length: 400 }, () => connect({ channel: "c" })));
    await Promise.all(watchers.map((each) => each.subscribe({ channel: "c", deltas: true })));
    const appends: { chunks: number; gapMs: number }[] = [];
    world.between.set("mailbox.append", async (go, [calls]) => {
      const answers = (await go()) as Appended[];
      const [{ chunks }] = calls as [AppendCall];
      for (const each of answers) if (each.ok) appends.push({ chunks: chunks.length, gapMs: each.gapMs });
      return answers;
    });
    const stringify = vi.spyOn(JSON, "stringify");
    const { id, say, finish } = await running({ channel: "c" });
    let text = "";
    for (const word of ["one ", "two ", "three "]) {
      say(word);
      text += word;
      await until(() => watchers.every((each) => each.text(id) === text));
    }
    for (const letter of "abcdefghij") say(letter);
    finish();
    await until(() => watchers.every((each) => each.events(id).at(-1)?.event === "completed"));
    const deltas = watchers[0]!.events(id).filter(({ event }) => event === "delta");
    const written = stringify.mock.calls.filter(([value]) => (value as { event?: string } | null)?.event === "delta");
    expect(written).toHaveLength(deltas.length);
    for (const each of watchers) expect(each.text(id)).toBe("one two three abcdefghij");
    expect(appends[0]!.gapMs).toBe(50);
    expect(appends.slice(2).every((each) => each.gapMs === gapMs(1, 400))).toBe(true);
    expect(gapMs(1, 400)).toBeGreaterThan(50);
    // Passed on as upstream sent them, ten letters would be ten chunks.
    expect(appends.slice(3).reduce((sum, each) => sum + each.chunks, 0)).toBeLessThan(10);
  });
});

describe("a reader that falls behind", () => {
  it.each([
    ["at the source", "c", "channel"],
    ["in the lobby", undefined, "channel"],
    ["at the source", "c", "jobs"],
    ["in the lobby", undefined, "jobs"],
  ])(
    "%s: is told so, gets nothing more until it acks, then the rest as one and the end; the others wait for nothing",
    async (_, place, kind) => {
      const [slow, other] = [await connect(place ? { channel: place } : {}), await connect({ channel: "c" })];
      slow.send({ type: "ack", frames: 0 });
      const { id, say, finish } = await running({ channel: "c" });
      const what = kind === "jobs" ? { jobs: [id] } : { channel: "c", after: { [id]: 0 } };
      for (const each of [slow, other]) await each.subscribe({ ...what, deltas: true });
      for (const letter of "abcdefgh") {
        say(piece(letter));
        await until(() => other.text(id).endsWith(letter));
      }
      finish();
      await other.saw(id, "completed");
      await settled(slow);
      expect(slow.text(id)).toBe([..."abcde"].map(piece).join(""));
      expect(slow.count("lagging")).toBe(1);
      expect(slow.events(id).some(({ event }) => event === "completed")).toBe(false);

      slow.send({ type: "ack", frames: slow.events().length });
      await slow.saw(id, "completed");
      expect(slow.text(id)).toBe(other.text(id));
      const all = other.events(id).map(({ seq }) => seq);
      const told = slow.events(id) as ({ seq: number; from?: number } & ReturnType<Client["events"]>[number])[];
      const rest = told.filter(({ from }) => from !== undefined);
      expect(rest).toHaveLength(1);
      expect((rest[0]!.data as { chunks: unknown[] }).chunks.length).toBeLessThanOrEqual(3);
      expect(told.flatMap(({ from, seq }) => Array.from({ length: seq - (from ?? seq) + 1 }, (_, index) => (from ?? seq) + index))).toEqual(
        all,
      );
      expect(slow.count("lagging")).toBe(1);
      expect(await lags("c")).toBe(0);
    },
  );

  it("and sleeps meanwhile, as do all objects: nothing is lost", async () => {
    const slow = await connect({ channel: "lobby" });
    slow.send({ type: "ack", frames: 0 });
    const { id, say, finish } = await running({ channel: "c" });
    await slow.subscribe({ jobs: [id], deltas: true });
    for (const letter of "abcde") {
      say(piece(letter));
      await until(() => slow.text(id).endsWith(letter));
    }
    say("f");
    await until(() => slow.count("lagging") === 1);
    await evict(mailbox("alice", "lobby"));
    await evict(mailbox("alice", "c"));
    say("g");
    finish();
    await slow.saw(id, "completed");
    expect(slow.text(id)).toBe(`${[..."abcde"].map(piece).join("")}fg`);
    await until(async () => (await lags("lobby")) === 0);
    const left = await inside(
      mailbox("alice", "lobby"),
      (_, state) => state.storage.sql.exec("SELECT count(*) AS n FROM subscriptions").one().n,
    );
    expect(left).toBe(0);
  });

  it("with many jobs: every end arrives, in the order of each job, once it acks", async () => {
    const slow = await connect({ channel: "c" });
    slow.send({ type: "ack", frames: 0 });
    await slow.subscribe({ channel: "c" });
    world.upstream = () => completion(piece("x"));
    const jobs = [];
    for (let count = 0; count < 12; count++) jobs.push(await submit({ channel: "c" }));
    await until(
      async () =>
        (await inside(
          mailbox("alice", "c"),
          (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM jobs WHERE ended_at IS NOT NULL").one().n,
        )) === 12,
    );
    await settled(slow);
    let acked = 0;
    const ends = () => slow.events().filter(({ event }) => event === "completed").length;
    expect(ends()).toBeLessThan(12);
    while (ends() < 12) {
      const before = ends();
      slow.send({ type: "ack", frames: slow.events().length - acked });
      acked = slow.events().length;
      await until(() => ends() > before);
    }
    for (const { id } of jobs) expect(slow.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  });

  it("a mailbox that cannot be asked for the rest is asked again", async () => {
    const slow = await connect({ channel: "lobby" });
    const { id, finish } = await full(slow);
    finish();
    await until(() => slow.count("lagging") === 1);
    world.between.set("mailbox.missed", () => Promise.reject(new Error("not now")));
    slow.send({ type: "ack", frames: slow.events().length });
    await until(() => inside(mailbox("alice", "lobby"), (_, { storage }) => storage.getAlarm()));
    world.between.delete("mailbox.missed");
    await runDurableObjectAlarm(mailbox("alice", "lobby"));
    await slow.saw(id, "completed");
  });

  it("what comes while the rest is fetched from elsewhere comes after it", async () => {
    const slow = await connect({ channel: "lobby" });
    const { id, say, finish } = await lagging(slow);
    let relayed = false;
    const ended = until(async () => (await rowsOf("SELECT count(*) AS n FROM jobs WHERE ended_at IS NOT NULL")) === 1).then(() => {
      relayed = true;
    });
    world.between.set("mailbox.missed", async (go) => {
      const answer = await go();
      world.between.delete("mailbox.missed");
      say("g");
      finish();
      // Polls instead of awaiting the promise, because one object must not settle another's.
      await until(() => relayed);
      return answer;
    });
    slow.send({ type: "ack", frames: slow.events().length });
    await slow.saw(id, "completed");
    await ended;
    expect(slow.text(id)).toBe(`${[..."abcde"].map(piece).join("")}fg`);
  });

  it("wants no deltas any more, and what comes while nothing else is found to be missing is told too", async () => {
    const [slow, other] = [await connect({ channel: "lobby" }), await connect({ channel: "lobby" })];
    await other.subscribe({ channel: "c" });
    const { id, finish } = await lagging(slow);
    await slow.subscribe({ channel: "c", deltas: false });
    world.between.set("mailbox.missed", async (go) => {
      const answer = await go();
      world.between.delete("mailbox.missed");
      finish();
      await other.saw(id, "completed");
      return answer;
    });
    slow.send({ type: "ack", frames: slow.events().length });
    await slow.saw(id, "completed");
  });

  it("subscribes anew while the rest is fetched from elsewhere: nothing comes twice", async () => {
    const slow = await connect({ channel: "lobby" });
    const { id, finish } = await lagging(slow);
    let [asked, released] = [false, false];
    world.between.set("mailbox.missed", async (go) => {
      const answer = await go();
      asked = true;
      await until(() => released);
      return answer;
    });
    slow.send({ type: "ack", frames: slow.events().length });
    await until(() => asked);
    slow.send({ type: "subscribe", channel: "c", deltas: true, after: { [id]: slow.events(id).at(-1)!.seq } });
    await until(() => slow.text(id).endsWith("f"));
    released = true;
    finish();
    await slow.saw(id, "completed");
    expect(slow.text(id)).toBe(`${[..."abcde"].map(piece).join("")}f`);
  });

  it.each(["c", "lobby"])(
    "at %s, and lags with a job until that is deleted: its subscription ends, and that to another does not",
    async (place) => {
      const slow = await connect({ channel: place });
      slow.send({ type: "ack", frames: 0 });
      const { id, say, finish } = await running({ channel: "c" });
      const waiting = await submit({ channel: "c", not_before: EPOCH / 1_000 + 100 * 3_600 });
      await slow.subscribe({ jobs: [id], deltas: true });
      for (const letter of "abcde") {
        say(piece(letter));
        await until(() => slow.text(id).endsWith(letter));
      }
      say("f");
      await until(() => slow.count("lagging") === 1);
      await slow.subscribe({ jobs: [waiting.id] });
      finish();
      await until(async () => (await rowsOf("SELECT count(*) AS n FROM jobs WHERE ended_at IS NOT NULL")) === 1);
      await until(async () => (await lags(place)) === 2);
      world.now = EPOCH + 80 * 3_600_000;
      await runDurableObjectAlarm(mailbox("alice", "c"));
      expect(await rowsOf("SELECT count(*) AS n FROM jobs")).toBe(1);
      slow.send({ type: "ack", frames: slow.events().length });
      await slow.saw(waiting.id, "queued");
      const targets = () =>
        inside(mailbox("alice", place), (_, { storage }) => storage.sql.exec("SELECT target FROM subscriptions").toArray());
      await until(async () => (await targets()).length < 2);
      expect(await targets()).toEqual([{ target: `job:${waiting.id}` }]);
      expect(await lags(place)).toBe(0);
    },
  );

  it("that lags with more jobs than can be kept track of is let go, and comes back", async () => {
    const slow = await connect({ channel: "c" });
    slow.send({ type: "ack", frames: 0 });
    await slow.subscribe({ channel: "c" });
    await inside(mailbox("alice", "c"), (_, { storage }) => {
      const { socket } = storage.sql.exec("SELECT socket FROM subscriptions").one();
      for (let n = 0; n <= 10_000; n++) storage.sql.exec("INSERT INTO lags (socket, job, last) VALUES (?, ?, 0)", socket, `job_${n}`);
    });
    await evict(mailbox("alice", "c"));
    await submit({ channel: "c", ...later });
    expect(await until(() => slow.closed)).toMatchObject({ code: 4408 });
    await until(async () => (await lags("c")) === 0);
  });

  it("who never acks is sent everything as it comes", async () => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    for (const letter of "abcdefgh") say(piece(letter));
    finish();
    await client.saw(id, "completed");
    expect(client.text(id)).toBe([..."abcdefgh"].map(piece).join(""));
    expect(client.count("lagging")).toBe(0);
  });

  it("subscribes anew with what it has: it is told the rest of that, and nothing twice", async () => {
    const slow = await connect({ channel: "c" });
    slow.send({ type: "ack", frames: 0 });
    await slow.subscribe({ channel: "c" });
    world.upstream = () => completion(piece("x"));
    const jobs = [];
    for (let count = 0; count < 6; count++) jobs.push(await submit({ channel: "c", not_before: EPOCH / 1_000 + 60 }));
    await advanceTo(EPOCH + 60_000);
    await until(() => slow.count("lagging") === 1);
    await until(
      async () =>
        (await inside(
          mailbox("alice", "c"),
          (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM jobs WHERE ended_at IS NOT NULL").one().n,
        )) === 6,
    );
    const have = Object.fromEntries(jobs.map(({ id }) => [id, slow.events(id).at(-1)?.seq ?? 0]));
    slow.send({ type: "ack", frames: slow.events().length });
    await slow.subscribe({ channel: "c", after: have });
    for (const { id } of jobs) await slow.saw(id, "completed");
    for (const { id } of jobs) expect(new Set(slow.story(id)).size).toBe(3);
  });
});
