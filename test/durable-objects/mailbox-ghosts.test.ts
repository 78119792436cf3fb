/** A lobby whose clients have left, but whose `unfollow` was lost. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { JobEvent } from "../../schemas/event.ts";
import type { UnfollowCall } from "../../schemas/rpc.ts";
import { inside, mailbox, over, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { cleared, kill, standAt } from "../support/stand.ts";
import { later, start } from "../support/telling.ts";
import { resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const followers = () =>
  inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT target FROM followers WHERE lobby = 'alice/lobby'").toArray());
/** A client that follows a job by its id and by its channel leaves, and the mailbox is not told. */
async function ghosts() {
  const client = await connect({ channel: "lobby" });
  const { id } = await submit({ channel: "c", ...later });
  await client.subscribe({ channel: "c", jobs: [id] });
  await client.saw(id, "queued");
  world.between.set("mailbox.unfollow", () => {
    throw new Error("deaf");
  });
  client.socket.close(1000);
  const subscriptions = () =>
    inside(mailbox("alice", "lobby"), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM subscriptions").one().n);
  await until(async () => (await subscriptions()) === 0);
  expect(await followers()).toHaveLength(2);
  return id;
}

it("is told one event more, and is a follower no longer", async () => {
  const id = await ghosts();
  let told = 0;
  world.between.set("mailbox.relay", (go, [, events]) => {
    told += (events as JobEvent[]).filter(({ event }) => event === "in_progress").length;
    return go();
  });
  const upstream = script();
  world.upstream = upstream.answer;
  await start();
  await until(async () => (await followers()).length === 0);
  expect(told).toBe(1);
  const next = await submit({ channel: "c" });
  upstream.finish();
  await over(id);
  await over(next.id);
  expect(told).toBe(1);
});

it("and somebody comes while it is told: is a follower, and tells on", async () => {
  const id = await ghosts();
  const arrived = standAt("mailbox.relay", "before its answer arrives");
  const upstream = script();
  world.upstream = upstream.answer;
  await start();
  await until(() => arrived.reached);
  const client = await connect({ channel: "lobby" });
  await client.subscribe({ jobs: [id] });
  await client.saw(id, "in_progress");
  arrived.go();
  upstream.finish();
  await client.saw(id, "completed");
  expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
});

describe("a word that all have left, which was given up and comes about late", () => {
  it.each([
    ["the lobby lives on", async () => {}],
    ["the lobby dies meanwhile", () => kill(mailbox("alice", "lobby"))],
    ["the mailbox dies meanwhile", () => kill(mailbox("alice", "c"))],
  ])("after somebody has come: who came is told on, to the end (%s)", async (_, between) => {
    const first = await connect({ channel: "lobby" });
    const { id } = await submit({ channel: "c", ...later });
    await first.subscribe({ channel: "c", jobs: [id] });
    await first.saw(id, "queued");
    const words: unknown[] = [];
    world.between.set("mailbox.unfollow", (_, [call]) => {
      words.push(call);
      throw new Error("deaf");
    });
    first.socket.close(1000);
    // The lobby tries four times, then gives up.
    await until(() => words.length === 4);
    world.between.delete("mailbox.unfollow");
    await between();
    const second = await connect({ channel: "lobby" });
    await second.subscribe({ channel: "c", jobs: [id] });
    await second.saw(id, "queued");
    await mailbox("alice", "c").unfollow(words[0] as UnfollowCall);
    expect(await followers()).toHaveLength(2);
    await start();
    await over(id);
    await second.saw(id, "completed");
    expect(second.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  });

  it("who comes and leaves once more, after the lobby slept: nobody follows any more", async () => {
    await ghosts();
    world.between.delete("mailbox.unfollow");
    for (const between of [async () => {}, () => kill(mailbox("alice", "lobby"))]) {
      await between();
      const client = await connect({ channel: "lobby" });
      await client.subscribe({ channel: "c" });
      client.socket.close(1000);
      await until(async () => (await followers()).every(({ target }) => target !== 0));
    }
  });
});
