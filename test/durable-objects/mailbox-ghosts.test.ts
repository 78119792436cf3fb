/** A lobby whose clients have left, and whose word of that was lost. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { JobEvent } from "../../schemas/event.ts";
import { inside, mailbox, over, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { cleared, standAt } from "../support/stand.ts";
import { later, start } from "../support/telling.ts";
import { resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const followers = () =>
  inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT target FROM followers WHERE lobby = 'alice/lobby'").toArray());
/** Followers of a job by its name and by its channel leave, and nobody says so. */
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
