/** Events on their way from a job's mailbox to a socket's lobby: lost, late, or interrupted by the death of an object. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { JobEvent } from "../../schemas/event.ts";
import { call, inside, mailbox, over, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { cleared, kill } from "../support/stand.ts";
import { deaf, later, running, start } from "../support/telling.ts";
import { completion, EPOCH, refusal, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const WHOLE = ["1 queued", "2 in_progress", "3 completed"];
const follow = (kind: string, id: string) => (kind === "jobs" ? { jobs: [id] } : { channel: "c", after: { [id]: 0 } });

/** Waits until an event has been refused at every try, and the mailbox has given it up for now. */
const givenUp = (ears: { tries: number }) => until(async () => ears.tries >= 4 && (await pauses()));
/** Whether the mailbox pauses: its alarm is set earlier than the one that watches over every message. */
const pauses = async () => ((await alarmAt()) ?? Number.POSITIVE_INFINITY) < world.now + 30_000;
const alarmAt = () => inside(mailbox("alice", "c"), (_, { storage }) => storage.getAlarm());
/** Ends the pause and rings the mailbox's alarm. */
async function ring(): Promise<void> {
  world.now += 60_000;
  expect(await runDurableObjectAlarm(mailbox("alice", "c"))).toBe(true);
}
const outages = () => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM outages").one().n);
/** How many followers of single jobs there are. */
const owed = () =>
  inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM followers WHERE target > 0").one().n);
/** A follower in another object of a job that was cancelled; its lobby did not get that event. */
async function untold(kind: string) {
  const client = await connect({ channel: "lobby" });
  const { id } = await submit({ channel: "c", ...later });
  await client.subscribe(follow(kind, id));
  await client.saw(id, "queued");
  const ears = deaf();
  await call("POST", `/v1/jobs/${id}/cancel`);
  await givenUp(ears);
  return { client, ears, id };
}
/** The numbers of the events that a client was told: a delta that stands for several counts as all of them. */
const numbers = (client: Client, job: string) =>
  client.events(job).flatMap(({ from, seq }) => Array.from({ length: seq - (from ?? seq) + 1 }, (_, index) => (from ?? seq) + index));
function expectGapless(client: Client, job: string): void {
  expect(numbers(client, job)).toEqual(numbers(client, job).map((_, index) => index + 1));
}

describe("an event that a lobby did not get", () => {
  it("a delta, and another follows: the text is whole, in order", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    say("one ");
    await until(() => client.text(id) === "one ");
    const ears = deaf();
    say("two ");
    await givenUp(ears);
    ears.hear();
    world.now += 60_000;
    say("three ");
    await until(() => client.text(id) === "one two three ");
    say("four");
    finish();
    await client.saw(id, "completed");
    expect(client.text(id)).toBe("one two three four");
    expectGapless(client, id);
    expect(client.count("lagging")).toBe(0);
  });

  it.each([
    ["the mailbox lives on", async () => {}],
    ["the mailbox dies", () => kill(mailbox("alice", "c"))],
  ])("a delta, and nothing follows, %s: it comes with the alarm", async (_, between) => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say } = await running({ channel: "c" });
    say("one ");
    await until(() => client.text(id) === "one ");
    const ears = deaf();
    say("two");
    await givenUp(ears);
    await between();
    ears.hear();
    await ring();
    await until(() => client.text(id) === "one two");
    await until(async () => (await outages()) === 0);
  });

  it.each(["running", "ended"])(
    "several of a %s job that it has not heard of, and the mailbox dies meanwhile: with the alarm it is told from the first",
    async (state) => {
      const client = await connect({ channel: "lobby" });
      await client.subscribe({ channel: "c" });
      // This job does not start when the clock moves on.
      const before = await submit({ channel: "c", not_before: EPOCH / 1_000 + 3_600 });
      await client.saw(before.id, "queued");
      world.now += 1_000;
      const ears = deaf();
      const { id, finish } = await running({ channel: "c" });
      await givenUp(ears);
      if (state === "ended") finish();
      await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.status === (state === "ended" ? "completed" : "in_progress"));
      await kill(mailbox("alice", "c"));
      ears.hear();
      expect(client.events(id)).toEqual([]);
      await ring();
      const told = WHOLE.slice(0, state === "ended" ? 3 : 2);
      await until(() => client.story(id).length === told.length);
      expect(client.story(id)).toEqual(told);
      expect(client.story(before.id)).toEqual(["1 queued"]);
      await until(async () => (await outages()) === 0);
    },
  );

  it("a mailbox that dies leaves a lobby that did not answer alone for as long as it meant to", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say } = await running({ channel: "c" });
    const ears = deaf();
    say("one");
    await givenUp(ears);
    const at = await alarmAt();
    await kill(mailbox("alice", "c"));
    const { tries } = ears;
    await call("GET", `/v1/jobs/${id}`);
    expect(await alarmAt()).toBe(at);
    expect(ears.tries).toBe(tries);
  });

  it.each([true, false])("the beginning of a job that the lobby has not heard of: it is told from there (deltas: %s)", async (deltas) => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas });
    const ears = deaf();
    const { id, say, finish } = await running({ channel: "c" });
    say("one ");
    await givenUp(ears);
    ears.hear();
    await ring();
    await until(() => client.events(id).some(({ event }) => event === "in_progress"));
    finish();
    await client.saw(id, "completed");
    const told = client.events(id).map(({ event }) => event);
    expect(told.filter((event) => event !== "delta")).toEqual(["queued", "in_progress", "completed"]);
    if (deltas) expectGapless(client, id);
  });

  it("a delta, and the mailbox died over it: known by the next number", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    say("one ");
    await until(() => client.text(id) === "one ");
    const ears = deaf();
    say("two ");
    await until(() => ears.tries > 0);
    await kill(mailbox("alice", "c"));
    ears.hear();
    say("three");
    await until(() => client.text(id) === "one two three");
    finish();
    await client.saw(id, "completed");
    expectGapless(client, id);
  });

  it.each(["jobs", "channel"])("without deltas, by %s, and the mailbox died over it: the next event brings it", async (kind) => {
    const client = await connect({ channel: "lobby" });
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe(follow(kind, id));
    await client.saw(id, "queued");
    const ears = deaf(({ event }) => event === "in_progress");
    await start();
    await until(() => ears.tries > 0);
    await kill(mailbox("alice", "c"));
    ears.hear();
    upstream.finish();
    await client.saw(id, "completed");
    expect(client.story(id)).toEqual(WHOLE);
  });

  it("what another mailbox tells does not wait for one that does not answer", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    await client.subscribe({ channel: "d" });
    const { id, say } = await running({ channel: "c" });
    say("one ");
    await until(() => client.text(id) === "one ");
    const ears = deaf();
    say("two ");
    await givenUp(ears);
    ears.hear();
    let asked = 0;
    world.between.set("mailbox.missed", () => {
      asked++;
      throw new Error("not now");
    });
    world.now += 60_000;
    say("three");
    await until(() => asked >= 4);
    world.upstream = () => completion("ok");
    const other = await submit({ channel: "d" });
    await client.saw(other.id, "completed");
    expect(client.story(other.id)).toEqual(WHOLE);
    world.between.delete("mailbox.missed");
    await until(() => inside(mailbox("alice", "lobby"), (_, { storage }) => storage.getAlarm()));
    await runDurableObjectAlarm(mailbox("alice", "lobby"));
    await until(() => client.text(id) === "one two three");
  });
});

describe("an end that a lobby did not get", () => {
  describe.each(["jobs", "channel"])("followed by %s", (kind) => {
    it.each([
      ["the mailbox lives on", async () => {}],
      ["the mailbox dies", () => kill(mailbox("alice", "c"))],
    ])("%s: it comes with the alarm, once, and nothing is owed any more", async (_, between) => {
      const client = await connect({ channel: "lobby" });
      const { id } = await submit({ channel: "c", ...later });
      await client.subscribe(follow(kind, id));
      await client.saw(id, "queued");
      const ears = deaf(({ event }) => event === "completed");
      await start();
      await over(id);
      await givenUp(ears);
      await between();
      ears.hear();
      await ring();
      await client.saw(id, "completed");
      expect(client.story(id)).toEqual(WHOLE);
      await until(async () => (await owed()) === 0);
    });

    it("the mailbox dies between writing a cancellation and telling it: the alarm tells it", async () => {
      const client = await connect({ channel: "lobby" });
      const { id } = await submit({ channel: "c", ...later });
      await client.subscribe(follow(kind, id));
      await client.saw(id, "queued");
      const ears = deaf();
      expect((await call("POST", `/v1/jobs/${id}/cancel`)).status).toBe(200);
      await until(() => ears.tries > 0);
      await kill(mailbox("alice", "c"));
      ears.hear();
      await ring();
      await client.saw(id, "cancelled");
      expect(client.story(id)).toEqual(["1 queued", "2 cancelled"]);
    });

    it("a cancellation that is asked for again tells it again", async () => {
      const { client, ears, id } = await untold(kind);
      ears.hear();
      world.now += 60_000;
      expect((await call("POST", `/v1/jobs/${id}/cancel`)).status).toBe(200);
      await client.saw(id, "cancelled");
    });
  });

  it("nobody is there any more: it is told once more, and then nothing is owed", async () => {
    const { client, ears } = await untold("channel");
    expect(await owed()).toBe(1);
    client.socket.close(1000);
    const subscriptions = () =>
      inside(mailbox("alice", "lobby"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM subscriptions").one().n);
    await until(async () => (await subscriptions()) === 0);
    ears.hear();
    await ring();
    await until(async () => (await owed()) === 0);
  });

  it("never told: it is owed for as long as the job is kept", async () => {
    await untold("channel");
    expect(await owed()).toBe(1);
    world.now = EPOCH + 1_000 * 3_600_000;
    await runDurableObjectAlarm(mailbox("alice", "c"));
    expect(await owed()).toBe(0);
  });
});

describe("a lobby that does not answer", () => {
  /** Holds all messages, except those that only tell of new jobs, until `released`. Polls, because one object must not settle another's promise. */
  function slow() {
    const held = { reached: false, released: false };
    world.between.set("mailbox.relay", async (go, [, events]) => {
      if ((events as JobEvent[]).some(({ event }) => event !== "queued")) {
        held.reached = true;
        while (!held.released && world.between.size > 0) await scheduler.wait(2);
      }
      return go();
    });
    return held;
  }

  it("results are committed, verdicts and cancellations come through, and who follows elsewhere is told", async () => {
    const [slowOne, swift] = [await connect({ channel: "lobby" }), await connect({ channel: "c" })];
    for (const each of [slowOne, swift]) await each.subscribe({ channel: "c" });
    const waits = await submit({ channel: "c", not_before: EPOCH / 1_000 + 3_600 });
    await slowOne.saw(waits.id, "queued");
    const held = slow();
    const done = await submit({ channel: "c", ...later });
    await start();
    await until(() => held.reached);
    await swift.saw(done.id, "completed");
    await over(done.id);
    world.upstream = () => refusal(400, "bad");
    const failed = await submit({ channel: "c" });
    await swift.saw(failed.id, "failed");
    expect((await call("POST", `/v1/jobs/${waits.id}/cancel`)).body.status).toBe("cancelled");
    const dispatched = await until(async () => {
      const { body } = await call<{ pools: { in_flight: number }[] }>("GET", "/v1/queue", undefined, { key: "sk-dev-operator" });
      return body.pools.every(({ in_flight }) => in_flight === 0);
    });
    expect(dispatched).toBe(true);
    expect(slowOne.events().some(({ event }) => event === "completed")).toBe(false);
    held.released = true;
    await slowOne.saw(done.id, "completed");
    await slowOne.saw(failed.id, "failed");
    await slowOne.saw(waits.id, "cancelled");
    for (const { id } of [done, failed, waits]) expect(slowOne.story(id)).toEqual(swift.story(id));
  });

  it("for too long: it is given up for now, and told later", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c" });
    const { id } = await submit({ channel: "c", ...later });
    await client.saw(id, "queued");
    const held = slow();
    world.relayMs = 1;
    await call("POST", `/v1/jobs/${id}/cancel`);
    await until(pauses);
    await until(() => held.reached);
    world.between.delete("mailbox.relay");
    world.relayMs = null;
    await ring();
    await client.saw(id, "cancelled");
    held.released = true;
  });
});
