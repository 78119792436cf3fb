/** An answer that broke off after a reader saw part of it: the reader comes back for the rest, which the next attempt tells. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { JobEvent } from "../../schemas/event.ts";
import type { Logged } from "../../schemas/rpc.ts";
import { advanceTo, call, crash, ended, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { running, TEXT } from "../support/telling.ts";
import { completion, EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

async function follower(): Promise<Client> {
  const client = await connect({ channel: "c" });
  await client.subscribe({ channel: "c", deltas: true });
  return client;
}

async function leave(client: Client): Promise<void> {
  client.socket.close(1000);
  await until(() => client.closed !== null);
}

const log = async (id: string): Promise<JobEvent[]> => ((await mailbox("alice", "c").events(id, 0, true)) as Logged).events;
const hasDeltas = async (id: string) => (await log(id)).some(({ event }) => event === "delta");

describe("cut off", () => {
  it("by a crash in the midst of an answer -> the next attempt's deltas are there when it is back", async () => {
    const client = await follower();
    const { id, say } = await running({ channel: "c", retry: "always" });
    say("half");
    await until(() => client.text(id) === "half");
    const last = client.events(id).at(-1)!.seq;
    world.upstream = () => completion(TEXT);
    await crash();
    // Long after any reader could be expected back.
    world.now = EPOCH + 300_000;
    await until(async () => {
      await advanceTo(world.now + 1_000);
      return (await call("GET", `/v1/jobs/${id}`)).status === 200;
    });
    const back = await connect({ channel: "c" });
    await back.subscribe({ jobs: [id], after: { [id]: last }, deltas: true });
    await back.saw(id, "completed");
    expect(back.text(id)).toBe(TEXT);
    expect(back.events(id).map(({ seq }) => seq)).toEqual(back.events(id).map((_, index) => last + 1 + index));
  });

  it("who wanted no deltas is owed none", async () => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    await leave(client);
    const { id } = await submit({ channel: "c" });
    await ended(id);
    expect(await hasDeltas(id)).toBe(false);
  });
});
