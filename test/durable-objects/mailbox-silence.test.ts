/** A socket that follows several mailboxes, one of which cannot be asked for events that were lost on their way. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { JobEvent } from "../../schemas/event.ts";
import type { Missing } from "../../schemas/rpc.ts";
import { evict, inside, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { cleared } from "../support/stand.ts";
import { running } from "../support/telling.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

/** Longer than a mailbox pauses after it could not tell, and shorter than a mailbox that was asked in vain is left alone. */
const PAUSE_MS = 1_500;

/** Events of these jobs are lost on their way until `hear` is called. */
function deaf(...jobs: string[]) {
  const ears = { tries: 0, hear: () => world.between.delete("mailbox.relay") };
  world.between.set("mailbox.relay", async (go, [, events]) => {
    if (!(events as JobEvent[]).some(({ job }) => jobs.includes(job))) return go();
    ears.tries++;
    throw new Error("deaf");
  });
  return ears;
}

/** Asking for this job's missed events fails: at once, or only when the test is over, which it polls for, because no clock tells. */
function silent(job: string, how: "refuses" | "hangs" = "refuses") {
  const { calls: age } = world;
  const silence = { asked: 0 };
  world.between.set("mailbox.missed", async (go, [missing]) => {
    if ((missing as Missing).id !== job) return go();
    silence.asked++;
    while (how === "hangs" && world.calls === age && world.between.has("mailbox.missed")) await scheduler.wait(2);
    throw new Error("not now");
  });
  return silence;
}

/** A stream in a channel; the client has its `one`. */
async function told(client: Client, channel: string) {
  const stream = await running({ channel });
  stream.say("one ");
  await until(() => client.text(stream.id) === "one ");
  return stream;
}
type Stream = Awaited<ReturnType<typeof told>>;

/** Loses `two` of each stream and says `three`, which shows the lobby that something is missing. */
async function lose(...streams: Stream[]): Promise<void> {
  for (const stream of streams) {
    const ears = deaf(stream.id);
    stream.say("two ");
    await until(() => ears.tries >= 4);
    ears.hear();
    world.now += PAUSE_MS;
    stream.say("three ");
  }
}

async function follows(...channels: string[]): Promise<Client> {
  const client = await connect({ channel: "lobby" });
  for (const channel of channels) await client.subscribe({ channel, deltas: true });
  return client;
}

it.each(["refuses", "hangs"] as const)("it %s: what was lost of another comes", async (how) => {
  const client = await follows("c", "d", "e");
  const [first, second, third] = [await told(client, "c"), await told(client, "d"), await told(client, "e")];
  const silence = silent(first.id, how);
  await lose(first);
  await until(() => silence.asked >= (how === "hangs" ? 1 : 4));
  await lose(second, third);
  for (const each of [second, third]) await until(() => client.text(each.id) === "one two three ");
  expect(client.text(first.id)).toBe("one ");
  world.between.delete("mailbox.missed");
  first.finish();
  if (how === "refuses") await runDurableObjectAlarm(mailbox("alice", "lobby"));
  await client.saw(first.id, "completed");
  expect(client.text(first.id)).toBe("one two three ");
  expect(client.count("lagging")).toBe(0);
});

it("and the lobby slept over what it lacks: what another tells comes as it is told", async () => {
  const client = await follows("c", "d");
  const [first, second] = [await told(client, "c"), await told(client, "d")];
  await inside(mailbox("alice", "lobby"), (_, { storage }) => {
    storage.sql.exec("INSERT INTO lags (socket, job, last) SELECT socket, ?, 1 FROM subscriptions LIMIT 1", first.id);
  });
  await evict(mailbox("alice", "lobby"));
  const silence = silent(first.id);
  for (const word of ["two ", "three"]) {
    second.say(word);
    await until(() => client.text(second.id).endsWith(word));
    await until(() => silence.asked >= 4);
  }
  second.finish();
  await client.saw(second.id, "completed");
  expect(client.events(second.id).map(({ seq }) => seq)).toEqual(client.events(second.id).map((_, index) => index + 1));
  expect(client.count("lagging")).toBe(0);
});

it("a client that was slow and has caught up with all others is told of them as it comes", async () => {
  const client = await follows("c", "d");
  client.send({ type: "ack", frames: 0 });
  const [first, second] = [await told(client, "c"), await told(client, "d")];
  const silence = silent(first.id, "refuses");
  await lose(first);
  await until(() => silence.asked >= 4);
  for (const letter of "abcde") {
    second.say(letter.repeat(60_000));
    await until(() => client.text(second.id).endsWith(letter));
  }
  second.say("f");
  await until(() => client.count("lagging") === 1);
  const frames = () => client.frames.filter((frame) => typeof frame !== "string" && frame.type === "event").length;
  client.send({ type: "ack", frames: frames() });
  await until(() => client.text(second.id).endsWith("f"));
  world.upstream = () => completion("ok");
  const next = await submit({ channel: "d" });
  await client.saw(next.id, "completed");
  expect(client.count("lagging")).toBe(1);
});

it("a consumer is told of its own channel, in order and with cursors, whatever else its socket follows", async () => {
  const client = await connect({ channel: "c" });
  await client.subscribe({ channel: "c", consumer: "worker" });
  await client.subscribe({ channel: "d", deltas: true });
  const other = await told(client, "d");
  const silence = silent(other.id);
  await lose(other);
  await until(() => silence.asked >= 4);
  world.upstream = () => completion("ok");
  const jobs: string[] = [];
  for (let count = 0; count < 3; count++) jobs.push((await submit({ channel: "c" })).id);
  for (const id of jobs) await client.saw(id, "completed");
  for (const id of jobs) expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  const cursors = client.events().flatMap(({ cursor, job }) => (jobs.includes(job) ? [cursor!] : []));
  expect(cursors).toEqual([...cursors].sort((a, b) => a - b));
  expect(cursors).toHaveLength(9);
  const again = await connect({ channel: "c" });
  client.send({ type: "ack", channel: "c", cursor: cursors.at(-1)! });
  client.socket.close(1000);
  await again.subscribe({ channel: "c", consumer: "worker" });
  const next = await submit({ channel: "c" });
  await again.saw(next.id, "completed");
  expect(again.events().every(({ job }) => job === next.id)).toBe(true);
  world.between.delete("mailbox.missed");
});
