/** Events that come from a mailbox while its answer with the past is still out. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EventFrame } from "../../durable-objects/mailbox/frames.ts";
import { Held } from "../../durable-objects/mailbox/held.ts";
import type { JobEvent } from "../../schemas/event.ts";
import { call, inside, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { cleared } from "../support/stand.ts";
import { later, running } from "../support/telling.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

/** Mailboxes begin to tell, but hold back their answers with the past until `released`. Polls, because one object must not settle another's promise. */
function hanging() {
  const held = { asked: 0, answered: 0, released: false };
  const { calls: age } = world;
  world.between.set("mailbox.follow", async (go) => {
    const answer = await go();
    held.asked++;
    while (!held.released && world.calls === age) await scheduler.wait(2);
    held.answered++;
    return answer;
  });
  return held;
}

/** Counts how often a mailbox is asked for what a reader lacks. */
function counted() {
  const log = { asked: 0 };
  world.between.set("mailbox.missed", (go) => {
    log.asked++;
    return go();
  });
  return log;
}

const numbers = (client: Client, job: string) =>
  client.events(job).flatMap(({ from, seq }) => Array.from({ length: seq - (from ?? seq) + 1 }, (_, index) => (from ?? seq) + index));
const lags = () => inside(mailbox("alice", "lobby"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM lags").one().n);
const targets = () => inside(mailbox("alice", "lobby"), (_, { storage }) => storage.sql.exec("SELECT target FROM subscriptions").toArray());

describe.each([
  ["there is room for", 1_000_000, false],
  ["there is no room for", 2_000, true],
])("what comes meanwhile, and %s", (_, room, lost) => {
  it.each(["jobs", "channel"])("is told after the past, without a gap, nothing twice, ends too: by %s", async (kind) => {
    world.heldCharacters = room;
    const watcher = await connect({ channel: "c" });
    await watcher.subscribe({ channel: "c", deltas: true });
    const other = await submit({ channel: "c", ...later });
    const { id, say, finish } = await running({ channel: "c" });
    say("one ");
    await until(() => watcher.text(id) === "one ");
    const client = await connect({ channel: "lobby" });
    const [held, log] = [hanging(), counted()];
    const jobs = [id, other.id];
    await client.subscribe(kind === "jobs" ? { jobs, deltas: true } : { channel: "c", deltas: true, after: { [id]: 1, [other.id]: 0 } });
    await until(() => held.asked === 1);
    for (const word of ["two ", "three ", "four ", "x".repeat(3_000)]) {
      say(word);
      await until(() => watcher.text(id).endsWith(word));
    }
    await call("POST", `/v1/jobs/${other.id}/cancel`);
    await watcher.saw(other.id, "cancelled");
    finish();
    await watcher.saw(id, "completed");
    expect(client.events()).toEqual([]);
    held.released = true;
    await client.saw(id, "completed");
    await client.saw(other.id, "cancelled");
    expect(client.text(id)).toBe(watcher.text(id));
    expect(numbers(client, id)).toEqual(numbers(watcher, id).slice(kind === "jobs" ? 0 : 1));
    expect(client.story(other.id)).toEqual(["1 queued", "2 cancelled"]);
    expect(log.asked > 0).toBe(lost);
    expect(client.count("lagging")).toBe(0);
    await until(async () => (await targets()).length === (kind === "jobs" ? 0 : 1) && (await lags()) === 0);
  });

  it("is told, though another subscription that waited for the same is withdrawn meanwhile", async () => {
    world.heldCharacters = room;
    const watcher = await connect({ channel: "c" });
    await watcher.subscribe({ channel: "c", deltas: true });
    const client = await connect({ channel: "lobby" });
    const held = hanging();
    await client.subscribe({ channel: "c", deltas: true });
    await until(() => held.asked === 1);
    const { id, say, finish } = await running({ channel: "c" });
    // This subscription waits its turn behind the other.
    await client.subscribe({ jobs: [id], deltas: true });
    for (const word of ["one ", "x".repeat(3_000)]) {
      say(word);
      await until(() => watcher.text(id).endsWith(word));
    }
    client.send({ type: "unsubscribe", jobs: [id] });
    await until(() => client.count("unsubscribed") === 1);
    held.released = true;
    finish();
    await client.saw(id, "completed");
    expect(numbers(client, id)).toEqual(numbers(watcher, id));
    expect(client.text(id)).toBe(watcher.text(id));
  });
});

it.each([
  ["there is room for", 1_000_000],
  ["there is no room for", 2_000],
])("the question fails in the end: what came meanwhile, and %s, comes by another subscription", async (_, room) => {
  world.heldCharacters = room;
  const client = await connect({ channel: "lobby" });
  await client.subscribe({ channel: "c", deltas: true });
  const { id, say, finish } = await running({ channel: "c" });
  say("one ");
  await until(() => client.text(id) === "one ");
  const held = { asked: 0, released: false };
  world.between.set("mailbox.follow", async () => {
    held.asked++;
    await until(() => held.released);
    throw new Error("not now");
  });
  await client.subscribe({ jobs: [id], after: { [id]: 3 } });
  await until(() => held.asked === 1);
  const watcher = await connect({ channel: "c" });
  await watcher.subscribe({ channel: "c", deltas: true });
  for (const word of ["two ", "x".repeat(3_000)]) {
    say(word);
    await until(() => watcher.text(id).endsWith(word));
  }
  finish();
  await watcher.saw(id, "completed");
  expect(client.text(id)).toBe("one ");
  held.released = true;
  await client.saw(id, "completed");
  await until(() => client.errors().length > 0);
  expect(client.errors()).toEqual(["unavailable"]);
  expect(client.text(id)).toBe(`one two ${"x".repeat(3_000)}`);
  expect(numbers(client, id)).toEqual(numbers(client, id).map((_, index) => index + 1));
});

describe("held for all who wait", () => {
  const delta = (job: string, seq: number, length = 100) =>
    new EventFrame({ job, seq, event: "delta", data: { chunks: [{ text: "x".repeat(length) }] } } satisfies JobEvent);
  const told = (held: Held, channel: string, from: number) => {
    const { frames, lost } = held.since(channel, from)!;
    return { told: frames.map(({ frame }) => frame.event.seq), lost: lost.map(({ job, after, newest }) => `${job} ${after} ${newest}`) };
  };

  it("an event is held once, however many wait, and each is told what came since it began", () => {
    const held = new Held(10_000);
    const [first, second] = [{ from: 0 }, { from: 0 }];
    held.begin("c", first);
    const one = delta("j", 1, 4_000);
    for (let count = 0; count < 100; count++) held.add("c", one);
    held.begin("c", second);
    held.add("c", delta("j", 2, 4_000));
    expect(told(held, "c", first.from)).toEqual({ told: [1, 2], lost: [] });
    expect(told(held, "c", second.from)).toEqual({ told: [2], lost: [] });
  });

  it("beyond the room the mailbox of which most is held is let go of, from each job's first event on; others keep theirs", () => {
    const held = new Held(10_000);
    const [heavy, light] = [{ from: 0 }, { from: 0 }];
    held.begin("heavy", heavy);
    held.begin("light", light);
    held.add("light", delta("l", 1, 1_000));
    for (let seq = 3; seq <= 40; seq++) held.add("heavy", delta("h", seq, 1_000));
    held.add("heavy", delta("i", 7));
    expect(told(held, "heavy", heavy.from)).toEqual({ told: [7], lost: ["h 2 40"] });
    expect(told(held, "light", light.from)).toEqual({ told: [1], lost: [] });
  });

  it("who begins after something was let go of lacks nothing of it, but what came since", () => {
    const held = new Held(5_000);
    const [early, late, last] = [{ from: 0 }, { from: 0 }, { from: 0 }];
    held.begin("c", early);
    for (let seq = 1; seq <= 9; seq++) for (const job of ["j", "k"]) held.add("c", delta(job, seq, 1_000));
    held.begin("c", late);
    held.add("c", delta("j", 10));
    held.begin("c", last);
    expect(told(held, "c", early.from).lost.sort()).toEqual(["j 0 10", "k 0 9"]);
    expect(told(held, "c", late.from)).toEqual({ told: [], lost: ["j 0 10"] });
    expect(told(held, "c", last.from)).toEqual({ told: [], lost: [] });
  });

  it("nothing is held that nobody waits for any more", () => {
    const held = new Held(1_000_000);
    const all = Array.from({ length: 50 }, () => ({ from: 0 }));
    for (const [index, each] of all.entries()) {
      held.begin("c", each);
      held.add("c", delta("j", index + 1, 1_000));
    }
    expect(held.characters).toBeGreaterThan(50_000);
    for (const each of all.slice(0, 49)) held.end("c", each);
    expect(held.characters).toBeLessThan(2_000);
    expect(told(held, "c", all[49]!.from)).toEqual({ told: [50], lost: [] });
    held.end("c", all[49]!);
    expect(held.characters).toBe(0);
  });

  it("of more jobs than a reader may lag with it is not known what is lacked: who waited is let go, who begins later is not", () => {
    const held = new Held(1);
    const [early, late] = [{ from: 0 }, { from: 0 }];
    held.begin("c", early);
    for (let n = 0; n <= 10_000; n++) held.add("c", delta(`j${n}`, 1, 1));
    held.begin("c", late);
    expect(held.since("c", early.from)).toBeNull();
    expect(told(held, "c", late.from)).toEqual({ told: [], lost: [] });
    held.add("c", delta("j0", 2, 1));
    expect(told(held, "c", late.from)).toEqual({ told: [], lost: ["j0 1 2"] });
  });
});
