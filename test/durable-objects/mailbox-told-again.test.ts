/** What a lobby slept through is told again as far as it may lack it: by seq a client knows what it has, and it has each piece of text once. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { evict, inside, mailbox, until } from "../support/service.ts";
import { type Client, connect, contentOf } from "../support/socket.ts";
import { cleared, standAt } from "../support/stand.ts";
import { running } from "../support/telling.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

/** Five pieces fill a window. */
const piece = (letter: string) => letter.repeat(60_000);
/** Longer than a mailbox pauses after it could not tell. */
const PAUSE_MS = 1_500;

/** The text that a client has if it skips every seq that it already had. */
function textOf(client: Client, job: string): string {
  const had = new Set<number>();
  let text = "";
  for (const event of client.events(job)) {
    if (!had.has(event.seq)) text += contentOf(event);
    had.add(event.seq);
  }
  return text;
}

const lobby = () => mailbox("alice", "lobby");
const one = (sql: string) => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec(sql).one().n);
const lagOf = () => inside(lobby(), (_, { storage }) => storage.sql.exec<{ last: number }>("SELECT last FROM lags").toArray()[0]?.last);

/** As if the mailbox had died over a message after others had arrived: the lobby may lack something from `since` on. Both objects sleep. */
async function mayLack(since: number): Promise<void> {
  await inside(mailbox("alice", "c"), (_, { storage }) => {
    storage.sql.exec("INSERT INTO outages (lobby, since, failures, until) VALUES ('alice/lobby', ?, 1, ?)", since, world.now);
  });
  await evict(lobby());
  await evict(mailbox("alice", "c"));
}

it("a mailbox died that had told of several: each comes again by itself", async () => {
  const client = await connect({ channel: "lobby" });
  await client.subscribe({ channel: "c", deltas: true });
  const stream = await running({ channel: "c" });
  for (const word of ["one ", "two "]) {
    stream.say(word);
    await until(() => client.text(stream.id).endsWith(word));
  }
  await mayLack(world.now);
  world.now += 1;
  stream.say("three ");
  await until(() => client.text(stream.id).endsWith("three "));
  stream.finish();
  await client.saw(stream.id, "completed");
  expect(textOf(client, stream.id)).toBe("one two three ");
});

it("to a slow reader, and the lobby sleeps again in the middle: the rest comes as it came then, too", async () => {
  const slow = await connect({ channel: "lobby" });
  slow.send({ type: "ack", frames: 0 });
  await slow.subscribe({ channel: "c", deltas: true });
  const stream = await running({ channel: "c" });
  let had = 0;
  const ackAll = () => {
    slow.send({ type: "ack", frames: slow.events().length - had });
    had = slow.events().length;
  };
  for (const letter of "abcdefgh") {
    stream.say(piece(letter));
    await until(() => slow.text(stream.id).endsWith(letter));
    ackAll();
  }
  await mayLack(world.now);
  world.now += 1;
  stream.say("i");
  await until(() => slow.count("lagging") === 1);
  await evict(lobby());
  ackAll();
  stream.finish();
  await slow.saw(stream.id, "completed");
  expect(textOf(slow, stream.id)).toBe(`${[..."abcdefgh"].map(piece).join("")}i`);
});

it("between two pages it is written down how far a reader was told: it is told the second alone, though the lobby slept", async () => {
  const client = await connect({ channel: "lobby" });
  await client.subscribe({ channel: "c", deltas: true });
  const stream = await running({ channel: "c" });
  stream.say("0");
  await until(() => client.text(stream.id) === "0");
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  let lost = 0;
  world.between.set("mailbox.relay", async () => {
    lost++;
    throw new Error("lost");
  });
  for (const letter of letters) stream.say(piece(letter));
  await until(() => lost >= 4);
  await until(async () => Number(await one("SELECT sum(length(deltas)) AS n FROM delta_rows")) > letters.length * 60_000);
  world.between.delete("mailbox.relay");
  const asked = standAt("mailbox.missed", "before it runs", () => client.text(stream.id).length > 1);
  world.now += PAUSE_MS;
  stream.say("!");
  await until(() => asked.reached);
  expect(await lagOf()).toBe(client.events(stream.id).at(-1)!.seq);
  asked.go();
  stream.finish();
  await client.saw(stream.id, "completed");
  expect(client.text(stream.id)).toBe(`0${letters.map(piece).join("")}!`);
});

it("a slow reader subscribes anew before it has read all that is on its way: that comes again by itself", async () => {
  const slow = await connect({ channel: "c" });
  slow.send({ type: "ack", frames: 0 });
  await slow.subscribe({ channel: "c", deltas: true });
  const { id, say, finish } = await running({ channel: "c" });
  for (const letter of "abcde") {
    say(piece(letter));
    await until(() => slow.text(id).endsWith(letter));
  }
  say("f");
  await until(() => slow.count("lagging") === 1);
  await slow.subscribe({ channel: "c", after: { [id]: 4 }, deltas: true });
  slow.send({ type: "ack", frames: slow.events().length });
  await until(() => slow.text(id).endsWith("f"));
  finish();
  await slow.saw(id, "completed");
  expect(textOf(slow, id)).toBe(`${[..."abcde"].map(piece).join("")}f`);
});
