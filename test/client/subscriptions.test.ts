import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Event, Subscription } from "../../client/index.ts";
import { type Asked, FakeSocket, json, refusal, settle, stage } from "./stage.ts";

type Listed = { id: string; status: string; created_at: number };

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  expect(FakeSocket.all.every(({ readyState }) => readyState === 3)).toBe(true);
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** The channel's list as the service gives it, newest first. `jobs` may change meanwhile. */
function listing(jobs: () => Listed[], pageSize = 100) {
  return ({ path }: Asked) => {
    if (!path.startsWith("/v1/jobs?")) return refusal(426, "invalid_request_error", "upgrade_required");
    const query = new URLSearchParams(path.split("?")[1]);
    const all = jobs().filter(({ status }) => (query.get("status") ?? status) === status);
    const from = all.findIndex(({ id }) => id === query.get("after")) + 1;
    const size = Math.min(pageSize, Number(query.get("limit")));
    const data = all.slice(from, from + size);
    return json({ object: "list", data, last_id: data.at(-1)?.id ?? null, has_more: all.length > from + size });
  };
}

/** Reads in the background. */
function reader(events: Subscription): { told: string[]; events: Event[]; done: Promise<unknown> } {
  const told: string[] = [];
  const kept: Event[] = [];
  const done = (async () => {
    for await (const event of events) {
      told.push(`${event.job} ${event.seq} ${event.event}`);
      kept.push(event);
    }
    return "ended";
  })().catch((error: unknown) => error);
  return { told, events: kept, done };
}

const delta = (text: string) => ({ chunks: [{ choices: [{ index: 0, delta: { content: text } }] }] });

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
    // Too late: nobody listens to it.
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

describe("a channel", () => {
  test("jobs that came and went while no connection stood -> found in the list down to the newest one known, and told from the beginning", async () => {
    let jobs: Listed[] = [{ id: "old", status: "completed", created_at: 1 }];
    const { client, socket, asked } = stage(listing(() => jobs, 2));
    const events = client.subscribe("c");
    const { told, done } = reader(events);
    await settle();
    expect(socket(0).url).toBe("ws://sluice/v1/subscribe?channel=c");
    socket(0).open();
    socket(0).subscribed();
    await events.ready;
    socket(0).tell("a", 1, "queued");
    socket(0).tell("a", 2, "in_progress");
    await settle();
    socket(0).drop();
    jobs = ["d", "c", "b", "a", "old"].map((id, n) => ({ id, status: "completed", created_at: 9 - n }));
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(125);
    socket(1).open();
    expect(socket(1).wishes).toMatchObject([{ channel: "c", after: { a: 2 } }]);
    socket(1).subscribed();
    socket(1).tell("a", 3, "completed", { status: "completed" });
    await settle();
    expect(asked.slice(before).map(({ path }) => new URLSearchParams(path.split("?")[1]).get("after"))).toEqual([null, "c", "a"]);
    expect(socket(1).wishes.slice(1)).toMatchObject([{ after: { d: 0, c: 0 } }, { after: { b: 0 } }]);
    socket(1).subscribed();
    socket(1).tell("d", 1, "queued");
    socket(1).tell("d", 2, "completed");
    socket(1).subscribed();
    socket(1).tell("b", 1, "queued");
    // Its end comes again, as after a restart of the service.
    socket(1).tell("a", 3, "completed", { status: "completed" });
    socket(1).tell("d", 1, "queued");
    await settle();
    await events.return();
    expect(await done).toBe("ended");
    expect(told).toEqual(["a 1 queued", "a 2 in_progress", "a 3 completed", "d 1 queued", "d 2 completed", "b 1 queued"]);
  });

  test("open when it begins -> asked for from the beginning; what is told of a job before its past is told in order with it", async () => {
    const jobs = [
      { id: "s", status: "scheduled", created_at: 3 },
      { id: "q", status: "queued", created_at: 2 },
      { id: "e", status: "completed", created_at: 1 },
    ];
    const { client, socket } = stage(listing(() => jobs));
    const events = client.subscribe("c", { deltas: true });
    const { told } = reader(events);
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await settle();
    expect(socket(0).wishes.slice(1)).toMatchObject([{ after: { s: 0 } }, { after: { q: 0 } }]);
    // Too early: it is told again, in its place.
    socket(0).tell("q", 2, "in_progress");
    socket(0).subscribed();
    socket(0).tell("q", 2, "in_progress");
    socket(0).subscribed();
    for (const [seq, name] of ["queued", "in_progress", "completed"].entries()) socket(0).tell("q", seq + 1, name as "queued");
    // One that nobody had heard of, in mid-course.
    socket(0).tell("new", 4, "delta", delta("x"));
    expect(socket(0).wishes.at(-1)).toMatchObject({ after: { new: 0 } });
    socket(0).tell("new", 5, "delta", delta("x"));
    socket(0).subscribed();
    socket(0).tell("new", 1, "queued");
    await settle();
    await events.return();
    expect(told).toEqual(["q 1 queued", "q 2 in_progress", "q 3 completed", "new 1 queued"]);
  });

  test("the list cannot be had -> another connection; it is forbidden -> PermissionError", async () => {
    let status = 503;
    const { client, socket } = stage(() => refusal(status, "some_error"), { retries: 0 });
    const events = client.subscribe("c");
    const { done } = reader(events);
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await vi.advanceTimersByTimeAsync(125);
    status = 403;
    socket(1).open();
    socket(1).subscribed();
    expect(await done).toMatchObject({ name: "PermissionError" });
    await expect(events.ready).rejects.toMatchObject({ name: "PermissionError" });
  });

  test("hundreds of open jobs -> asked for in frames of 500, and what overtakes its frame's answer waits for it", async () => {
    const { client, socket } = stage(listing(() => []));
    const after = Object.fromEntries(Array.from({ length: 700 }, (_, n) => [`j${n}`, 1]));
    const events = client.subscribe("c", { after });
    const { told } = reader(events);
    await settle();
    socket(0).open();
    expect(socket(0).wishes.map((wish) => Object.keys(wish.after!).length)).toEqual([500, 200]);
    socket(0).subscribed();
    socket(0).tell("j0", 2, "in_progress");
    socket(0).tell("j699", 3, "completed");
    socket(0).subscribed();
    socket(0).tell("j699", 2, "in_progress");
    socket(0).tell("j699", 3, "completed");
    await settle();
    await events.return();
    expect(told).toEqual(["j0 2 in_progress", "j699 2 in_progress", "j699 3 completed"]);
  });

  test("tens of thousands of ends -> those long past are forgotten, the recent ones are not told twice", async () => {
    const newest = { id: "", status: "completed", created_at: 1 };
    const { client, socket, asked } = stage(listing(() => [newest]));
    const events = client.subscribe("c");
    const { told } = reader(events);
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await settle();
    const lists = asked.length;
    for (let n = 0; n < 25_000; n++) {
      newest.id = `j${n}`;
      socket(0).tell(newest.id, 1, "queued");
      socket(0).tell(newest.id, 2, "completed");
      if (n % 1_000 === 999) await settle();
    }
    expect(asked.length - lists).toBe(2);
    socket(0).tell("j24999", 2, "completed");
    socket(0).tell("j12000", 1, "queued");
    await settle();
    expect(told).toHaveLength(50_000);
    await events.return();
  });
});
