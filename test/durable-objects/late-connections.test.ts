/** A call that is late once its connection stands asks again before upstream has the end of its request. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SettleBatch, Settlement } from "../../schemas/rpc.ts";
import { advanceTo, call, dispatcher, drained, ended, over, pool, submit, until } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { completion, EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);
afterEach(() => vi.unstubAllGlobals());

const LATE_MS = 1_000;

/** One machine, beside an upstream that has a bucket of `burst` seconds; Sluice gives one of them up. */
const oneMachine = (burst: number) => {
  const pools = { "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 60, tpm: 600_000, burst_seconds: burst } };
  const key = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: "http://there/v1" };
  world.env = { ...key, SLUICE_LOCAL: "1", SLUICE_POOLS: JSON.stringify(pools) };
};

/** Stands in for upstream at `fetch`. The first connection stands only once `connect` is called; what came over each is in `requests`. */
function upstream() {
  const connections = { requests: [] as string[], brokenOff: 0, stands: false, connect: () => {} };
  const { calls: age } = world;
  connections.connect = () => {
    connections.stands = true;
  };
  vi.stubGlobal("fetch", async (_: string, { body, signal }: RequestInit) => {
    const index = connections.requests.push("") - 1;
    // Polls, because one object must not settle another's promise; the test, its end or an abort ends the wait.
    while (index === 0 && !connections.stands && !signal!.aborted && world.calls === age) await scheduler.wait(2);
    const broken = new Promise<never>((_, reject) => {
      const end = () => {
        connections.brokenOff++;
        reject(signal!.reason);
      };
      if (signal!.aborted) end();
      else signal!.addEventListener("abort", end);
    });
    const taken = async () => {
      if (typeof body === "string") connections.requests[index] = body;
      else for await (const piece of body as ReadableStream<Uint8Array>) connections.requests[index] += new TextDecoder().decode(piece);
      return completion("ok");
    };
    return Promise.race([taken(), broken]);
  });
  return connections;
}

/** What upstream had of the first call when the coordinator was asked about it, one entry for each question. */
function questions({ requests }: ReturnType<typeof upstream>): string[] {
  const asked: string[] = [];
  world.between.set("coordinator.late", (go) => {
    asked.push(requests[0]!);
    return go();
  });
  return asked;
}

/** A call that connects late, after another has taken the room that was there for it. */
async function outrun() {
  oneMachine(2);
  const to = upstream();
  world.dispatchersNow = EPOCH;
  const { id } = await submit({ channel: "c" });
  await until(() => to.requests.length === 1);
  const other = await submit({ channel: "d" });
  await advanceTo(EPOCH + LATE_MS);
  await over(other.id);
  world.dispatchersNow = EPOCH + LATE_MS;
  return { id, to };
}

describe("a call whose connection stands late", () => {
  it("asks before the end of its request, and sends that when it may go", async () => {
    oneMachine(60);
    const to = upstream();
    const asked = questions(to);
    world.dispatchersNow = EPOCH;
    const { id } = await submit();
    await until(() => to.requests.length === 1);
    world.dispatchersNow = EPOCH + LATE_MS;
    to.connect();
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
    expect(asked.map((text) => text.length)).toEqual([2]);
    expect(JSON.parse(to.requests[0]!)).toMatchObject({ model: "gpt-5-mini" });
  });

  it("-> upstream's time to its headers counts from when it left: by that a restarted coordinator tells when it did", async () => {
    oneMachine(60);
    const to = upstream();
    const settled: Settlement[] = [];
    world.between.set("coordinator.settle", (go, [batch]) => {
      settled.push(...(batch as SettleBatch).settlements);
      return go();
    });
    world.dispatchersNow = EPOCH;
    const { id } = await submit();
    await until(() => to.requests.length === 1);
    world.dispatchersNow = EPOCH + LATE_MS;
    to.connect();
    await ended(id);
    await until(() => settled.length === 1);
    expect(settled[0]).toMatchObject({ waitedMs: LATE_MS, headersMs: 0 });
  });

  it("in time -> does not ask", async () => {
    oneMachine(60);
    const to = upstream();
    const asked = questions(to);
    world.dispatchersNow = EPOCH;
    to.connect();
    expect((await ended((await submit()).id)).status).toBe("completed");
    expect(asked).toEqual([]);
  });

  it("and is to wait again -> is broken off without the end of its request, and is called when the budget refills, as its first attempt", async () => {
    const { id, to } = await outrun();
    to.connect();
    await until(async () => (await pool()).depth === 1);
    await until(() => to.brokenOff === 1);
    expect(to.requests[0]).toHaveLength(2);
    await advanceTo(EPOCH + 2 * LATE_MS);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(to.requests).toHaveLength(3);
  });

  it("and gets no answer -> is broken off, and called once, as its first attempt", async () => {
    const { id, to } = await outrun();
    world.between.set("coordinator.late", async (go) => {
      await go();
      throw new Error("lost");
    });
    to.connect();
    await until(() => to.brokenOff === 1);
    await until(async () => (await dispatcher().report()).held.length === 0);
    for (let second = 2; second <= 60; second++) await advanceTo(EPOCH + second * 1_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(to.requests.filter((text) => text.length > 2)).toHaveLength(2);
  });

  it("and is cancelled before -> was not called, and costs nothing", async () => {
    oneMachine(60);
    const to = upstream();
    world.dispatchersNow = EPOCH;
    const { id } = await submit();
    await until(() => to.requests.length === 1);
    await call("POST", `/v1/jobs/${id}/cancel`);
    await until(() => to.brokenOff === 1);
    await drained();
    expect(await ended(id)).toMatchObject({ status: "cancelled" });
    expect((await pool()).used).toEqual({ requests: 0, tokens: 0 });
  });
});
