/** Subscriptions that come and go while the past of what they name is being fetched. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { running } from "../support/telling.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

/** Lets the mailbox of the jobs answer, one by one, who begins to follow. */
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
