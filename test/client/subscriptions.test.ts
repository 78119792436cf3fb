import { afterEach, describe, expect, test, vi } from "vitest";
import { delta, expectNothingOpen, FakeSocket, fakeTime, json, reader, refusal, settle, stage } from "./stage.ts";

fakeTime();
afterEach(expectNothingOpen);

describe("a job's stream", () => {
  test("connection lost -> the next one resumes after the last seq; what comes twice is told once; it ends with the end", async () => {
    const { client, socket } = stage(() => refusal(426, "invalid_request_error"));
    const { told, done } = reader(client.stream("j", { after: 3 }));
    await settle();
    expect(socket(0).protocols).toEqual(["sluice.v1", "bearer.t"]);
    socket(0).open();
    expect(socket(0).wishes).toEqual([{ type: "subscribe", jobs: ["j"], after: { j: 3 }, deltas: true }]);
    socket(0).tell("j", 3, "delta", delta("x"));
    socket(0).tell("j", 4, "delta", delta("a"));
    await settle();
    socket(0).drop();
    await vi.advanceTimersByTimeAsync(124);
    expect(FakeSocket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    socket(1).open();
    expect(socket(1).wishes[0]).toMatchObject({ after: { j: 4 } });
    socket(1).tell("j", 4, "delta", delta("a"));
    socket(1).tell("j", 5, "delta", delta("b"));
    socket(1).tell("j", 6, "completed", { status: "completed" });
    expect(await done).toBe("ended");
    expect(told).toEqual(["j 4 delta", "j 5 delta", "j 6 completed"]);
  });

  test("it does not open -> full-jitter backoff that doubles, as the door says that the key is good", async () => {
    const { client, asked } = stage(() => refusal(426, "invalid_request_error"));
    const events = client.stream("j");
    const opened: number[] = [];
    for (let n = 0; n < 9; n++) {
      await settle();
      opened.push(Date.now());
      FakeSocket.all.at(-1)!.drop();
      await vi.advanceTimersToNextTimerAsync();
    }
    const waits = opened.slice(1).map((at, n) => at - opened[n]!);
    expect(waits).toEqual([125, 250, 500, 1_000, 2_000, 4_000, 7_500, 7_500]);
    expect(asked).toHaveLength(9);
    await events.return();
  });

  test("patience runs out -> ConnectionError; the door refuses -> AuthenticationError, after the token was asked for each connection", async () => {
    const away = stage(() => Promise.reject(new TypeError("fetch failed")));
    const waiting = reader(away.client.stream("j", { patienceMs: 1_000 }));
    for (let n = 0; n < 5; n++) {
      await settle();
      FakeSocket.all.at(-1)?.drop();
      await vi.advanceTimersByTimeAsync(2_000);
    }
    expect(await waiting.done).toMatchObject({ name: "ConnectionError" });

    let count = 0;
    const expired = stage(() => refusal(count < 3 ? 426 : 401, "authentication_error"), { token: async () => `t${++count}` });
    const { done } = reader(expired.client.stream("j"));
    await settle();
    expired.socket(0).drop();
    await vi.advanceTimersByTimeAsync(1_000);
    expired.socket(1).drop();
    expect(await done).toMatchObject({ name: "AuthenticationError" });
    expect(FakeSocket.all.map(({ protocols }) => protocols[1])).toEqual(["bearer.t1", "bearer.t3"]);
  });

  test.each([
    [400, "BadRequestError"],
    [401, "AuthenticationError"],
    [403, "PermissionError"],
    [404, "NotFoundError"],
  ])("the door refuses with %s -> %s, and no other connection", async (status, name) => {
    const { client, socket } = stage(() => refusal(status, "invalid_request_error"));
    const { done } = reader(client.stream("j"));
    await settle();
    socket(0).drop();
    expect(await done).toMatchObject({ name, status });
    expect(FakeSocket.all).toHaveLength(1);
  });

  test.each([408, 426, 429, 500, 503])("the door answers %s -> another connection", async (status) => {
    const { client, socket } = stage(() => refusal(status, "server_error"));
    const events = client.stream("j");
    await settle();
    socket(0).drop();
    await vi.advanceTimersByTimeAsync(125);
    socket(1).open();
    expect(socket(1).wishes).toHaveLength(1);
    await events.return();
  });

  test("silence -> a ping; no answer to it -> another connection, though the old one never closed", async () => {
    const { client, socket } = stage(() => json({}));
    const turns: string[] = [];
    const events = client.stream("j", { onConnection: (turn) => turns.push(turn) });
    await settle();
    socket(0).open();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(socket(0).sent.at(-1)).toBe("ping");
    socket(0).say("pong");
    await vi.advanceTimersByTimeAsync(20_000);
    expect(socket(0).sent.filter((text) => text === "ping")).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(FakeSocket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1 + 125);
    expect(FakeSocket.all).toHaveLength(2);
    expect(turns).toEqual(["open", "lost"]);
    // Too late: nobody listens to this connection any more.
    socket(0).tell("j", 1, "queued");
    socket(1).open();
    expect(socket(1).wishes[0]).toMatchObject({ after: { j: 0 } });
    await events.return();
  });

  test("no such job -> NotFoundError; another complaint, or nonsense -> another connection", async () => {
    const { client, socket } = stage(() => json({}));
    const { done } = reader(client.stream("j"));
    await settle();
    socket(0).open();
    socket(0).say({ type: "error", error: { code: "unavailable", message: "Subscribe again.", param: null } });
    await vi.advanceTimersByTimeAsync(125);
    socket(1).open();
    socket(1).dispatchEvent(new MessageEvent("message", { data: "<html>" }));
    await vi.advanceTimersByTimeAsync(250);
    socket(2).open();
    socket(2).say({ type: "error", error: { code: "job_not_found", message: "No job j.", param: "jobs" } });
    expect(await done).toMatchObject({ name: "NotFoundError", message: "No job j." });
  });

  test.each([
    ["too_many_consumers", "BadRequestError"],
    ["consumer_elsewhere", "BadRequestError"],
    ["channel_not_allowed", "PermissionError"],
    ["too_many_subscriptions", "BadRequestError"],
    ["a_code_of_tomorrow", "BadRequestError"],
  ])("the service refuses the subscription, %s -> %s, and no other connection", async (code, name) => {
    const { client, socket } = stage(() => json({}));
    const events = client.subscribe("c", { consumer: "worker" });
    const { done } = reader(events);
    await settle();
    socket(0).open();
    socket(0).say({ type: "error", error: { code, message: "No.", param: "channel" } });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await done).toMatchObject({ name, code, message: "No." });
    await expect(events.ready).rejects.toMatchObject({ code });
    expect(FakeSocket.all).toHaveLength(1);
  });

  test.each([
    ["never confirmed", false],
    ["confirmed before the job's mailbox turns out to be away", true],
  ])("connections that open and are %s -> patience runs out; one that stood starts it over, however long it did", async (_, confirmed) => {
    const { client, socket } = stage(() => refusal(426, "invalid_request_error"));
    const { done } = reader(client.stream("j", { patienceMs: 1_000 }));
    await settle();
    socket(0).open();
    socket(0).subscribed(null);
    await vi.advanceTimersByTimeAsync(15_000);
    socket(0).drop();
    for (let n = 0; n < 20; n++) {
      await vi.advanceTimersByTimeAsync(400);
      const next = FakeSocket.all.at(-1)!;
      if (next.readyState !== 0) continue;
      next.open();
      if (confirmed) next.subscribed(null);
      await settle();
      next.say({ type: "error", error: { code: "unavailable", message: "Subscribe again.", param: null } });
    }
    expect(await done).toMatchObject({ name: "ConnectionError" });
    expect(FakeSocket.all).toHaveLength(4);
  });

  test("the reader takes longer than its patience over what is unread -> that is not the service's absence", async () => {
    const { client, socket } = stage(() => refusal(426, "invalid_request_error"));
    const events = client.stream("j", { patienceMs: 1_000 });
    await settle();
    socket(0).open();
    socket(0).subscribed(null);
    for (let seq = 1; seq < 4; seq++) socket(0).tell("j", seq, "delta", delta("x".repeat(1_500_000)));
    await vi.advanceTimersByTimeAsync(60_000);
    await events.next();
    await settle();
    socket(1).drop();
    await vi.advanceTimersByTimeAsync(250);
    socket(2).open();
    socket(2).tell("j", 4, "failed", { status: "failed" });
    expect((await events.next()).value).toMatchObject({ seq: 4 });
  });

  test("nobody reads -> deltas become one; too much of them -> the connection is let go, and resumed once all is read", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    await settle();
    socket(0).open();
    socket(0).tell("j", 1, "in_progress");
    for (let seq = 2; seq < 5; seq++) socket(0).tell("j", seq, "delta", delta("x"));
    expect((await events.next()).value).toMatchObject({ seq: 1 });
    expect((await events.next()).value).toMatchObject({
      seq: 4,
      data: { chunks: [delta("x").chunks[0], delta("x").chunks[0], delta("x").chunks[0]] },
    });
    for (let seq = 5; seq < 8; seq++) socket(0).tell("j", seq, "delta", delta("x".repeat(1_500_000)));
    expect(socket(0).readyState).toBe(3);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect((await events.next()).value).toMatchObject({ seq: 7 });
    await settle();
    socket(1).open();
    expect(socket(1).wishes[0]).toMatchObject({ after: { j: 7 } });
    socket(1).tell("j", 8, "failed", { status: "failed" });
    expect((await events.next()).value).toMatchObject({ seq: 8 });
    expect((await events.next()).done).toBe(true);
  });

  test("a reader that is always one event behind -> what it has read does not count, and the connection stays", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    await settle();
    socket(0).open();
    socket(0).tell("j", 1, "queued");
    for (let seq = 2; seq < 12; seq++) {
      socket(0).tell("j", seq, "position", { padding: "x".repeat(1_000_000) });
      expect((await events.next()).value).toMatchObject({ seq: seq - 1 });
    }
    expect(socket(0).readyState).toBe(1);
    await events.return();
  });

  test("too much is unread, and the reader goes on at once -> still no connection before all is read", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    await settle();
    socket(0).open();
    for (let seq = 1; seq < 6; seq++) socket(0).tell("j", seq, "position", { padding: "x".repeat(1_000_000) });
    expect(socket(0).readyState).toBe(3);
    for (let seq = 1; seq < 4; seq++) expect((await events.next()).value).toMatchObject({ seq });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect((await events.next()).value).toMatchObject({ seq: 4 });
    await settle();
    expect(FakeSocket.all).toHaveLength(2);
    await events.return();
  });

  test("asked for the next event before the last has come -> each is given its own, in order, and the end", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    const asked = [events.next(), events.next(), events.next(), events.next()];
    await settle();
    socket(0).open();
    socket(0).tell("j", 1, "queued", { padding: "x".repeat(70_000) });
    socket(0).tell("j", 2, "completed", { status: "completed" });
    await settle();
    expect((await Promise.all(asked)).map(({ value }) => value?.seq)).toEqual([1, 2, undefined, undefined]);
  });

  test("asked for several events at once -> all of them are dealt with when it is asked again; an abort is told to all", async () => {
    const { client, socket } = stage(() => json({}));
    const stop = new AbortController();
    const events = client.stream("j", { signal: stop.signal });
    const asked = [events.next(), events.next()];
    await settle();
    socket(0).open();
    for (const seq of [1, 2]) socket(0).tell("j", seq, "queued", { padding: "x".repeat(40_000) });
    await Promise.all(asked);
    expect(socket(0).acks).toEqual([{ frames: 0 }]);
    const more = [events.next(), events.next()].map((next) => next.catch(({ message }) => message));
    expect(socket(0).acks).toEqual([{ frames: 0 }, { frames: 2 }]);
    stop.abort(new Error("enough"));
    expect(await Promise.all(more)).toEqual(["enough", "enough"]);
  });

  test("its reader leaves with too much unread -> it ends at once", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    await settle();
    socket(0).open();
    for (let seq = 1; seq < 4; seq++) socket(0).tell("j", seq, "delta", delta("x".repeat(1_500_000)));
    await settle();
    let ended = false;
    void events.return().then(() => {
      ended = true;
    });
    await settle();
    expect(ended).toBe(true);
    expect(FakeSocket.all).toHaveLength(1);
  });
});

describe("abort", () => {
  const states: Record<string, (socket: FakeSocket) => Promise<void> | void> = {
    "before the connection opens": () => {},
    "while it is open": (socket) => socket.open(),
    "with events unread": (socket) => {
      socket.open();
      socket.tell("j", 1, "queued");
    },
    "between two connections": async (socket) => {
      socket.open();
      socket.drop();
      await settle();
    },
  };
  for (const [state, reach] of Object.entries(states)) {
    test(`${state} -> the reason, and nothing is left`, async () => {
      const { client, socket } = stage(() => json({}));
      const stop = new AbortController();
      const events = client.stream("j", { signal: stop.signal });
      await settle();
      await reach(socket(0));
      stop.abort(new Error("enough"));
      await expect(events.next()).rejects.toThrow("enough");
      await expect(events.ready).rejects.toThrow("enough");
    });
  }

  test("before it begins -> no connection at all; while the token is waited for -> none either", async () => {
    const { client } = stage(() => json({}));
    await expect(client.stream("j", { signal: AbortSignal.abort(new Error("enough")) }).next()).rejects.toThrow("enough");
    const token = Promise.withResolvers<string>();
    const waiting = stage(() => json({}), { token: () => token.promise });
    const stop = new AbortController();
    const events = waiting.client.stream("j", { signal: stop.signal });
    await settle();
    stop.abort(new Error("enough"));
    await expect(events.next()).rejects.toThrow("enough");
    token.resolve("t");
    await settle();
    expect(FakeSocket.all.filter(({ readyState }) => readyState !== 3)).toEqual([]);
  });
});
