/** What the client reports about how far its reader has come. */
import { describe, expect, test, vi } from "vitest";
import { delta, FakeSocket, fakeTime, json, settle, stage } from "./stage.ts";

fakeTime();

const frames = (socket: FakeSocket) => socket.acks.map((ack) => ack.frames).filter((count) => count !== undefined);
const cursors = (socket: FakeSocket) => socket.acks.map((ack) => ack.cursor).filter((cursor) => cursor !== undefined);

describe("flow", () => {
  test("a connection opens, the first and each that resumes -> it asks for a window before it asks for events", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    await settle();
    socket(0).open();
    socket(0).drop();
    await vi.advanceTimersByTimeAsync(1_000);
    socket(1).open();
    for (const { sent } of FakeSocket.all) {
      expect(sent.map((text) => JSON.parse(text))).toEqual([
        { type: "ack", frames: 0 },
        { type: "subscribe", jobs: ["j"], after: { j: 0 }, deltas: true },
      ]);
    }
    await events.return();
  });

  test("it acks what its reader has dealt with, not what has come; deltas that became one count as they came", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    await settle();
    socket(0).open();
    expect(frames(socket(0))).toEqual([0]);
    for (let seq = 1; seq <= 4; seq++) socket(0).tell("j", seq, "delta", delta("x".repeat(40_000)));
    await settle();
    expect(frames(socket(0))).toEqual([0]);
    expect((await events.next()).value).toMatchObject({ from: 1, seq: 4 });
    expect(frames(socket(0))).toEqual([0]);
    const next = events.next();
    expect(frames(socket(0))).toEqual([0, 4]);
    // The client lags: it is told so, and then gets a stretch of events as one.
    socket(0).say({ type: "lagging" });
    socket(0).say({ type: "event", job: "j", from: 5, seq: 9, event: "delta", data: delta("yz") });
    expect((await next).value).toMatchObject({ from: 5, seq: 9, data: delta("yz") });
    await events.return();
  });

  test("what came over one connection is not acked over the next; what comes twice is dealt with at once", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.stream("j");
    await settle();
    socket(0).open();
    socket(0).tell("j", 1, "queued", { padding: "x".repeat(70_000) });
    expect((await events.next()).value).toMatchObject({ seq: 1 });
    socket(0).drop();
    await vi.advanceTimersByTimeAsync(1_000);
    socket(1).open();
    void events.next();
    expect(frames(socket(1))).toEqual([0]);
    socket(1).tell("j", 1, "queued", { padding: "x".repeat(70_000) });
    expect(frames(socket(1))).toEqual([0, 1]);
    await events.return();
  });
});

describe("a consumer", () => {
  test("acks an event when its reader asks for the one after it; all at once when many wait", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.subscribe("c", { consumer: "worker" });
    await settle();
    expect(socket(0).url).toBe("ws://sluice/v1/subscribe?channel=c");
    socket(0).open();
    expect(socket(0).wishes).toEqual([{ type: "subscribe", channel: "c", consumer: "worker", deltas: false }]);
    socket(0).subscribed();
    await settle();
    for (let n = 1; n <= 150; n++) socket(0).tell(`j${n}`, 1, "queued", {}, n);
    for (let n = 1; n <= 100; n++) await events.next();
    expect(cursors(socket(0))).toEqual([]);
    await events.next();
    expect(cursors(socket(0))).toEqual([100]);
    for (let n = 102; n <= 150; n++) await events.next();
    expect(cursors(socket(0))).toEqual([100]);
    void events.next();
    expect(cursors(socket(0))).toEqual([100, 150]);
    await events.return();
  });

  test.each(["return", "abort"])("it ends in the middle, by %s -> what was dealt with is acked, the event in hand is not", async (how) => {
    const { client, socket } = stage(() => json({}));
    const controller = new AbortController();
    const events = client.subscribe("c", { consumer: "worker", signal: controller.signal });
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await settle();
    for (let n = 1; n <= 9; n++) socket(0).tell(`j${n}`, 1, "queued", {}, n);
    for (let n = 1; n <= 5; n++) await events.next();
    if (how === "return") await events.return();
    else controller.abort();
    expect(cursors(socket(0))).toEqual([4]);
  });

  test("its connection is lost -> it says by the next one how far it is; what it has is not passed on again", async () => {
    const { client, socket } = stage(() => json({}));
    const events = client.subscribe("c", { consumer: "worker" });
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await settle();
    socket(0).tell("j", 1, "queued", {}, 7);
    expect((await events.next()).value).toMatchObject({ job: "j", seq: 1 });
    socket(0).drop();
    const next = events.next();
    await vi.advanceTimersByTimeAsync(1_000);
    socket(1).open();
    socket(1).subscribed();
    await settle();
    expect(cursors(socket(1))).toEqual([7]);
    socket(1).tell("j", 1, "queued", {}, 7);
    socket(1).tell("j", 2, "in_progress", {}, 8);
    expect((await next).value).toMatchObject({ job: "j", seq: 2 });
    await events.return();
  });

  test.each([
    ["lost", 3, [7]],
    ["heard", 7, []],
  ])(
    "what it acked last is %s with the connection -> said again over the next only if the service has not heard it",
    async (_, known, said) => {
      const { client, socket } = stage(() => json({}));
      const events = client.subscribe("c", { consumer: "worker" });
      await settle();
      socket(0).open();
      socket(0).subscribed();
      await settle();
      socket(0).tell("j", 1, "queued", {}, 7);
      await events.next();
      void events.next();
      expect(cursors(socket(0))).toEqual([7]);
      socket(0).drop();
      await vi.advanceTimersByTimeAsync(1_000);
      socket(1).open();
      socket(1).say({ type: "subscribed", jobs: [], channel: "c", deltas: false, consumer: "worker", cursor: known, resumed: true });
      await settle();
      expect(cursors(socket(1))).toEqual(said);
      // The reply for a job that was asked for again says nothing about cursors.
      socket(1).subscribed(null);
      await settle();
      expect(cursors(socket(1))).toEqual(said);
      await events.return();
    },
  );
});
