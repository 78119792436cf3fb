/** Events that are on their way to a lobby elsewhere when their mailbox dies, with nothing happening after that. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MailboxStore } from "../../durable-objects/mailbox/store/store.ts";
import { call, evict, inside, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { cleared, kill } from "../support/stand.ts";
import { deaf, later, running, start, unconfirmed } from "../support/telling.ts";
import { resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);
afterEach(() => {
  vi.restoreAllMocks();
});

/** Rings the mailbox's alarm, whatever it was set for. */
async function ring(): Promise<void> {
  world.now += 60_000;
  expect(await runDurableObjectAlarm(mailbox("alice", "c"))).toBe(true);
}
const untold = () =>
  inside(
    mailbox("alice", "c"),
    (_, { storage }) => storage.sql.exec("SELECT value FROM marks WHERE name = 'untold'").toArray()[0]?.value ?? 0,
  );
const numbers = (client: Client, job: string) =>
  client.events(job).flatMap(({ from, seq }) => Array.from({ length: seq - (from ?? seq) + 1 }, (_, index) => (from ?? seq) + index));
const jobs = () => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM jobs").one().n);
const outages = () => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM outages").one().n);

describe("comes by itself, once", () => {
  it("deltas of a job that runs, one under way and others that waited behind it", async () => {
    const [client, watcher] = [await connect({ channel: "lobby" }), await connect({ channel: "c" })];
    for (const each of [client, watcher]) await each.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    say("one ");
    await until(() => client.text(id) === "one ");
    const ears = deaf();
    for (const word of ["two ", "three ", "four "]) {
      say(word);
      await until(() => watcher.text(id).endsWith(word));
    }
    expect(ears.tries).toBeGreaterThan(0);
    await kill(mailbox("alice", "c"));
    ears.hear();
    await ring();
    await until(() => client.text(id) === "one two three four ");
    finish();
    await client.saw(id, "completed");
    expect(client.text(id)).toBe("one two three four ");
    expect(numbers(client, id)).toEqual(numbers(client, id).map((_, index) => index + 1));
    await until(async () => (await untold()) === 0);
  });

  it.each([
    ["jobs", "its alarm", ring],
    ["channel", "its alarm", ring],
    ["channel", "a question", (id: string) => call("GET", `/v1/jobs/${id}`)],
  ])("that a job runs, to a follower without deltas, by %s, once the mailbox is woken by %s", async (kind, _, wake) => {
    const client = await connect({ channel: "lobby" });
    world.upstream = script().answer;
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe(kind === "jobs" ? { jobs: [id] } : { channel: "c", after: { [id]: 0 } });
    await client.saw(id, "queued");
    const ears = deaf(({ event }) => event === "in_progress");
    await start();
    await until(() => ears.tries > 0);
    await kill(mailbox("alice", "c"));
    ears.hear();
    await wake(id);
    await client.saw(id, "in_progress");
    expect(client.story(id)).toEqual(["1 queued", "2 in_progress"]);
  });
});

it("comes by itself: that a job is there, which the coordinator took its time to confirm", async () => {
  const client = await connect({ channel: "lobby" });
  await client.subscribe({ channel: "c" });
  const ears = deaf();
  const confirm = unconfirmed();
  const submitted = submit({ channel: "c", ...later });
  await until(async () => (await jobs()) === 1);
  world.now += 3_000;
  confirm();
  const { id } = await submitted;
  await until(() => ears.tries > 0);
  // As a later submit would write it: a confirmed job is not announced again.
  await inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("INSERT OR REPLACE INTO marks VALUES ('cursor', 1)"));
  await kill(mailbox("alice", "c"));
  ears.hear();
  await ring();
  await client.saw(id, "queued");
  expect(client.story(id)).toEqual(["1 queued"]);
});

describe("comes by itself, of a job before thousands of others", () => {
  const crowd = () =>
    inside(mailbox("alice", "c"), (_, { storage: { sql } }) => {
      sql.exec(
        `INSERT INTO jobs (n, nonce, status, accepted_at, ended_at, details)
         WITH RECURSIVE each(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM each WHERE n < 10500)
         SELECT n, 'abcdef', 'cancelled', ?1, ?1, '{}' FROM each`,
        world.now,
      );
    });

  it.each([
    ["it was on its way", 1],
    ["the lobby did not take it", 4],
  ])("%s", async (_, tries) => {
    const client = await connect({ channel: "lobby" });
    world.upstream = script().answer;
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe({ channel: "c", after: { [id]: 0 } });
    await client.saw(id, "queued");
    await until(async () => (await untold()) === 0);
    const ears = deaf(({ event }) => event === "in_progress");
    await start();
    await until(() => ears.tries >= tries);
    if (tries > 1) await until(async () => (await outages()) === 1);
    await crowd();
    await kill(mailbox("alice", "c"));
    ears.hear();
    await ring();
    await client.saw(id, "in_progress");
    expect(client.story(id)).toEqual(["1 queued", "2 in_progress"]);
    await until(async () => (await untold()) === 0 && (await outages()) === 0);
  });
});

it("told anew after its wake, it cannot be told either, and the mailbox dies again: it comes after all", async () => {
  const client = await connect({ channel: "lobby" });
  world.upstream = script().answer;
  const { id } = await submit({ channel: "c", ...later });
  await client.subscribe({ channel: "c", after: { [id]: 0 } });
  await client.saw(id, "queued");
  const ears = deaf(({ event }) => event === "in_progress");
  await start();
  await until(() => ears.tries > 0);
  await kill(mailbox("alice", "c"));
  world.now += 60_000;
  await call("GET", `/v1/jobs/${id}`);
  await until(async () => (await outages()) === 1 && (await untold()) === 0);
  await kill(mailbox("alice", "c"));
  ears.hear();
  await ring();
  await client.saw(id, "in_progress");
});

describe("all has arrived", () => {
  it("it is put down, and a mailbox that wakes tells nothing again", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say } = await running({ channel: "c" });
    say("one");
    await until(() => client.text(id) === "one");
    await until(async () => (await untold()) === 0);
    for (const channel of ["lobby", "c"]) await evict(mailbox("alice", channel));
    let told = 0;
    world.between.set("mailbox.relay", (go) => {
      told++;
      return go();
    });
    await call("GET", `/v1/jobs/${id}`);
    await ring();
    expect(told).toBe(0);
    expect(client.text(id)).toBe("one");
  });

  it("however much is told, little is written down of it", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    await client.saw(id, "queued");
    await until(async () => (await untold()) === 0);
    world.restMs = 1_000;
    const puts = vi.spyOn(MailboxStore.prototype, "putMark");
    for (let count = 0; count < 30; count++) {
      say("word ");
      await until(() => client.text(id) === "word ".repeat(count + 1));
    }
    finish();
    await client.saw(id, "completed");
    const written = puts.mock.calls.filter(([name]) => name === "untold").length;
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(10);
  });

  it("or a lobby cannot be told: that stands elsewhere", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c" });
    const ears = deaf();
    const { id } = await submit({ channel: "c", ...later });
    await until(async () => (await outages()) === 1);
    await until(async () => (await untold()) === 0);
    ears.hear();
    await ring();
    await client.saw(id, "queued");
  });
});
