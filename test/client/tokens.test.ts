/** A token function usually calls the page's own backend, which may take forever. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Sluice } from "../../client/index.ts";
import { expectNothingOpen, FakeSocket, fakeTime, json, reader, refusal, settle, stage } from "./stage.ts";

fakeTime();
afterEach(expectNothingOpen);

const never = () => new Promise<string>(() => {});

describe("while the token is waited for", () => {
  const calls: Record<string, (client: Sluice, signal: AbortSignal) => Promise<unknown>> = {
    get: (client, signal) => client.get("j", { signal }),
    wait: (client, signal) => client.wait("j", { signal }),
    submit: (client, signal) => client.submit({ request: {} } as never, { signal }),
    submitMany: (client, signal) => client.submitMany([{ request: {} } as never], { signal }).next(),
    stream: (client, signal) => client.stream("j", { signal }).next(),
    subscribe: (client, signal) => client.subscribe("c", { signal }).next(),
  };
  test.each(Object.keys(calls))("%s is aborted -> the reason, at once, and nothing is left", async (name) => {
    const { client, asked } = stage(() => json({}), { token: never });
    const stop = new AbortController();
    const failed = calls[name]!(client, stop.signal).catch((error: unknown) => error);
    await settle();
    stop.abort(new Error("enough"));
    expect(await failed).toMatchObject({ message: "enough" });
    expect([asked, FakeSocket.all]).toEqual([[], []]);
  });

  test("a call takes longer than its time-out -> TimeoutError", async () => {
    const { client } = stage(() => json({}), { token: never, timeoutMs: 20, retries: 0 });
    const failed = client.get("j").catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(20);
    expect(await failed).toMatchObject({ name: "TimeoutError" });
  });

  test("a subscription is left -> it ends at once", async () => {
    const { client } = stage(() => json({}), { token: never });
    const events = client.stream("j");
    await settle();
    expect(await events.return()).toEqual({ done: true, value: undefined });
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  test("a subscription's token takes longer than the time-out -> it is asked for again, until patience runs out", async () => {
    let tokens = 0;
    const slow = stage(() => refusal(426, "invalid_request_error"), {
      token: () => (++tokens > 1 ? "t2" : never()),
      timeoutMs: 1_000,
    });
    const events = slow.client.stream("j");
    await settle();
    await vi.advanceTimersByTimeAsync(1_000 + 125);
    expect(slow.socket(0).protocols[1]).toBe("bearer.t2");
    await events.return();

    const away = stage(() => json({}), { token: never, timeoutMs: 1_000 });
    const { done } = reader(away.client.stream("j", { patienceMs: 3_000 }));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await done).toMatchObject({ name: "ConnectionError" });
  });
});

test("a token that no subprotocol can hold -> a SluiceError that says so, and no other try", async () => {
  let tries = 0;
  class Picky {
    constructor() {
      tries++;
      throw new SyntaxError("Invalid subprotocol");
    }
  }
  const { client } = stage(() => json({}), { token: "a b", WebSocket: Picky as never });
  const { done } = reader(client.stream("j"));
  expect(await done).toMatchObject({ name: "SluiceError", cause: { name: "SyntaxError" } });
  expect(tries).toBe(1);
});

test("fetch that does not heed its signal -> aborted and timed out all the same", async () => {
  const { client } = stage(() => new Promise(() => {}), { timeoutMs: 1_000, retries: 0 });
  const stop = new AbortController();
  const aborted = client.get("j", { signal: stop.signal }).catch((error: unknown) => error);
  const late = client.get("j").catch((error: unknown) => error);
  await settle();
  stop.abort(new Error("enough"));
  expect(await aborted).toMatchObject({ message: "enough" });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await late).toMatchObject({ name: "TimeoutError" });
});
