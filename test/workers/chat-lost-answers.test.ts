/** Answers that were sent in full but did not arrive: for whom they are kept, and for how long. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { jobOf, params } from "../support/sdk.ts";
import { inside, mailboxOf, send, until } from "../support/service.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

/** Asks as a client that waits a minute. */
const ask = (tries: number) =>
  send("/v1/chat/completions", {
    method: "POST",
    headers: {
      authorization: "Bearer sk-dev-alice",
      "content-type": "application/json",
      "x-stainless-timeout": "60",
      "x-stainless-retry-count": String(tries),
    },
    body: JSON.stringify(params),
  });

const collected = (id: string) =>
  until(() =>
    inside(mailboxOf(id), (_, { storage }) => storage.sql.exec("SELECT 1 FROM calls WHERE sent_at IS NULL").toArray().length === 0),
  );

describe("an answer that was sent", () => {
  it("and lost without a word -> the retry at the client's own time-out is given what was sent; another in between is a new call", async () => {
    let count = 0;
    world.upstream = () => completion(`answer ${++count}`);
    const first = await ask(0);
    const answer = await first.text();
    const id = jobOf(first);
    await collected(id);
    world.now += 30_000;
    await runDurableObjectAlarm(mailboxOf(id));
    const other = jobOf(await ask(1));
    expect(other).not.toBe(id);
    await collected(other);
    world.now += 31_000;
    const again = await ask(1);
    expect(jobOf(again)).toBe(id);
    expect(await again.text()).toBe(answer);
    expect(count).toBe(2);
  });

  it("is not looked through at each alarm once it is over", async () => {
    world.upstream = () => completion("one");
    const id = jobOf(await ask(0));
    await collected(id);
    world.now += 71_000;
    await inside(mailboxOf(id), (_, { storage }) => storage.setAlarm(world.now));
    await runDurableObjectAlarm(mailboxOf(id));
    expect(await inside(mailboxOf(id), (_, { storage }) => storage.sql.exec("SELECT n FROM calls").toArray())).toEqual([]);
  });
});
