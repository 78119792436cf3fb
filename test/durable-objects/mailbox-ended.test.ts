/** A reader that comes back with the last seq of an ended job, or with a greater one, does not wait for ever. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ended, inside, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { cleared } from "../support/stand.ts";
import { later, start } from "../support/telling.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const END = 3;
const overOf = ({ frames }: Client) => frames.flatMap((frame) => (typeof frame !== "string" && frame.type === "ended" ? frame.jobs : []));
const subscriptions = (channel: string) =>
  inside(mailbox("alice", channel), (_, { storage }) => storage.sql.exec("SELECT count(*) AS n FROM subscriptions").one().n);

describe.each([
  ["at the source", "c"],
  ["in a lobby elsewhere", "lobby"],
])("%s", (_, place) => {
  it.each([true, false])("the seq of the end: is told that nothing more comes, and follows no longer (deltas: %s)", async (deltas) => {
    const { id } = await submit({ channel: "c" });
    await ended(id);
    const client = await connect({ channel: place });
    await client.subscribe({ jobs: [id], after: { [id]: END }, deltas });
    await until(() => overOf(client).length > 0);
    expect(overOf(client)).toEqual([id]);
    expect(client.events()).toEqual([]);
    await until(async () => (await subscriptions(place)) === 0);
  });

  it("a seq beyond the end: is told the end", async () => {
    const { id } = await submit({ channel: "c" });
    await ended(id);
    const client = await connect({ channel: place });
    await client.subscribe({ jobs: [id], after: { [id]: 1_000 } });
    await client.saw(id, "completed");
    expect(client.story(id)).toEqual(["3 completed"]);
    expect(overOf(client)).toEqual([]);
  });

  it("a seq beyond what a waiting job has: is told what comes", async () => {
    const { id } = await submit({ channel: "c", ...later });
    const client = await connect({ channel: place });
    await client.subscribe({ jobs: [id], after: { [id]: 1_000 } });
    await start();
    await client.saw(id, "completed");
    expect(client.story(id)).toEqual(["2 in_progress", "3 completed"]);
  });

  it("by the channel: the same, and what comes of others", async () => {
    const jobs = [await submit({ channel: "c" }), await submit({ channel: "c" }), await submit({ channel: "c", ...later })];
    const [known, beyond, waiting] = jobs.map(({ id }) => id) as [string, string, string];
    for (const id of [known, beyond]) await ended(id);
    const client = await connect({ channel: place });
    await client.subscribe({ channel: "c", after: { [known]: END, [beyond]: 99, [waiting]: 99 } });
    await start();
    await client.saw(waiting, "completed");
    expect(overOf(client)).toEqual([known]);
    expect(client.story(known)).toEqual([]);
    expect(client.story(beyond)).toEqual(["3 completed"]);
    expect(client.story(waiting)).toEqual(["2 in_progress", "3 completed"]);
    expect(await subscriptions(place)).toBe(1);
  });
});
