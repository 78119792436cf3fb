/** What the client does about events that were lost on the way. */
import { describe, expect, test, vi } from "vitest";
import { type Subscription, textOf } from "../../client/index.ts";
import { delta, type FakeSocket, fakeTime, json, reader, settle, stage } from "./stage.ts";

fakeTime();

const empty = () => json({ object: "list", data: [], last_id: null, has_more: false });

type Client = ReturnType<typeof stage>["client"];

/** A subscription whose connection is open and confirmed. */
async function begun(open: (client: Client) => Subscription) {
  const { client, socket } = stage(empty);
  const events = open(client);
  await settle();
  await confirm(socket(0));
  return { events, socket };
}

async function confirm(socket: FakeSocket): Promise<void> {
  socket.open();
  socket.subscribed();
  await settle();
}

describe("a job's stream", () => {
  test("events are missing -> they are asked for after the last that came, and what came too early is told in its place", async () => {
    const { events, socket } = await begun((client) => client.stream("j"));
    const { told, done } = reader(events);
    socket(0).tell("j", 1, "queued");
    socket(0).tell("j", 4, "delta", delta("c"));
    socket(0).tell("j", 5, "delta", delta("d"));
    await settle();
    expect(told).toEqual(["j 1 queued"]);
    expect(socket(0).wishes.slice(1)).toEqual([{ type: "subscribe", jobs: ["j"], after: { j: 1 }, deltas: true }]);
    socket(0).subscribed();
    await settle();
    for (const [seq, event] of ["queued", "in_progress", "delta", "delta", "delta", "completed"].entries())
      if (seq > 0) socket(0).tell("j", seq + 1, event as "delta", event === "delta" ? delta("x") : {});
    expect(await done).toBe("ended");
    expect(told.map((each) => each.slice(2))).toEqual(["1 queued", "2 in_progress", "5 delta", "6 completed"]);
  });

  test("the first events are missing -> asked for too; a delta that stands for several is no gap", async () => {
    const { events, socket } = await begun((client) => client.stream("j", { after: 7 }));
    const { told } = reader(events);
    socket(0).tell("j", 9, "delta", delta("x"));
    expect(socket(0).wishes.at(-1)).toMatchObject({ after: { j: 7 } });
    socket(0).subscribed();
    await settle();
    socket(0).say({ type: "event", job: "j", from: 8, seq: 12, event: "delta", data: delta("x") });
    await settle();
    expect(socket(0).wishes).toHaveLength(2);
    expect(told).toEqual(["j 12 delta"]);
    await events.return();
  });

  test("what is missing is not kept any more -> asked for once, and then passed over", async () => {
    const { events, socket } = await begun((client) => client.stream("j"));
    const { told, done } = reader(events);
    const tellAll = () => {
      for (const [seq, event] of [
        [1, "queued"],
        [2, "in_progress"],
        [9, "retrying"],
        [30, "completed"],
      ] as const)
        socket(0).tell("j", seq, event);
    };
    for (let n = 0; n < 3; n++) {
      tellAll();
      socket(0).subscribed();
      await settle();
    }
    expect(await done).toBe("ended");
    expect(told).toEqual(["j 1 queued", "j 2 in_progress", "j 9 retrying", "j 30 completed"]);
    expect(socket(0).wishes.map(({ after }) => after!.j)).toEqual([0, 2, 9]);
  });

  test("another gap is told in answer -> that one is asked for again", async () => {
    const { events, socket } = await begun((client) => client.stream("j"));
    const { told } = reader(events);
    socket(0).tell("j", 5, "delta", delta("x"));
    socket(0).subscribed();
    await settle();
    socket(0).tell("j", 6, "delta", delta("x"));
    await settle();
    expect(told).toEqual([]);
    expect(socket(0).wishes).toHaveLength(3);
    await events.return();
  });

  test("the connection breaks before the answer -> the next one asks after the last that came", async () => {
    const { events, socket } = await begun((client) => client.stream("j"));
    const { told } = reader(events);
    socket(0).tell("j", 1, "queued");
    socket(0).tell("j", 3, "delta", delta("x"));
    socket(0).drop();
    await vi.advanceTimersByTimeAsync(1_000);
    await confirm(socket(1));
    expect(socket(1).wishes).toMatchObject([{ after: { j: 1 } }]);
    socket(1).tell("j", 2, "in_progress");
    socket(1).tell("j", 3, "delta", delta("x"));
    await settle();
    expect(told).toEqual(["j 1 queued", "j 2 in_progress", "j 3 delta"]);
    await events.return();
  });
});

describe("a channel", () => {
  test("with deltas, events of one job are missing -> they are asked for, and the other jobs go on", async () => {
    const { events, socket } = await begun((client) => client.subscribe("c", { deltas: true }));
    const { told } = reader(events);
    socket(0).tell("a", 1, "queued");
    socket(0).tell("a", 3, "delta", delta("x"));
    socket(0).tell("b", 1, "queued");
    await settle();
    expect(socket(0).wishes.slice(1)).toEqual([{ type: "subscribe", channel: "c", after: { a: 1 }, deltas: true }]);
    expect(told).toEqual(["a 1 queued", "b 1 queued"]);
    socket(0).subscribed();
    await settle();
    socket(0).tell("a", 2, "in_progress");
    socket(0).tell("a", 9, "completed");
    socket(0).subscribed();
    await settle();
    socket(0).tell("a", 9, "completed");
    await settle();
    expect(told.slice(2)).toEqual(["a 2 in_progress", "a 9 completed"]);
    await events.return();
  });

  test("without deltas -> their seqs are missing by right", async () => {
    const { events, socket } = await begun((client) => client.subscribe("c"));
    const { told } = reader(events);
    socket(0).tell("a", 1, "queued");
    socket(0).tell("a", 9, "completed");
    await settle();
    expect(told).toEqual(["a 1 queued", "a 9 completed"]);
    expect(socket(0).wishes).toHaveLength(1);
    await events.return();
  });
});

describe("a consumer", () => {
  const cursors = (socket: FakeSocket) => socket.acks.map(({ cursor }) => cursor).filter((cursor) => cursor !== undefined);

  test("events are missing -> they are asked for, and no cursor beyond them is acked before they have come", async () => {
    const { events, socket } = await begun((client) => client.subscribe("c", { consumer: "worker", deltas: true }));
    const { told } = reader(events);
    // In mid-course when the consumer's name was new.
    socket(0).tell("a", 4, "in_progress", {}, 10);
    socket(0).tell("a", 6, "delta", delta("x"), 12);
    socket(0).tell("b", 1, "queued", {}, 13);
    await settle();
    expect(told).toEqual(["a 4 in_progress", "b 1 queued"]);
    expect(socket(0).wishes.slice(1)).toEqual([{ type: "subscribe", jobs: ["a"], after: { a: 4 }, deltas: true }]);
    expect(cursors(socket(0))).toEqual([10]);
    socket(0).subscribed(null);
    await settle();
    socket(0).tell("a", 5, "delta", delta("x"));
    socket(0).tell("a", 6, "delta", delta("x"));
    socket(0).tell("b", 2, "in_progress", {}, 14);
    await settle();
    expect(told.slice(2)).toEqual(["a 5 delta", "a 6 delta", "b 2 in_progress"]);
    expect(cursors(socket(0))).toEqual([10, 14]);
    await events.return();
  });

  test("the connection breaks before they have come -> what is told again shows the gap again", async () => {
    const { events, socket } = await begun((client) => client.subscribe("c", { consumer: "worker", deltas: true }));
    const { told } = reader(events);
    socket(0).tell("a", 1, "queued", {}, 10);
    socket(0).tell("a", 3, "delta", delta("x"), 12);
    socket(0).drop();
    await vi.advanceTimersByTimeAsync(1_000);
    await confirm(socket(1));
    socket(1).tell("b", 1, "queued", {}, 11);
    socket(1).tell("a", 3, "delta", delta("x"), 12);
    await settle();
    expect(told).toEqual(["a 1 queued", "b 1 queued"]);
    expect(socket(1).wishes.slice(1)).toMatchObject([{ jobs: ["a"], after: { a: 1 } }]);
    socket(1).tell("b", 2, "in_progress", {}, 13);
    await settle();
    expect(cursors(socket(1))).toEqual([10, 11]);
    await events.return();
  });
});

describe("a delta that stands for several, of which the first came before", () => {
  const several = (socket: FakeSocket, from: number, seq: number, text: string) =>
    socket.say({ type: "event", job: "j", from, seq, event: "delta", data: delta(text) });

  test.each([
    ["a job's stream", (client: Client) => client.stream("j")],
    ["a channel", (client: Client) => client.subscribe("c", { deltas: true })],
    ["a consumer", (client: Client) => client.subscribe("c", { deltas: true, consumer: "worker" })],
  ])("%s: is not passed on, however often it is told; the rest is asked for after the last that came", async (_, open) => {
    const { events, socket } = await begun(open);
    const { events: told } = reader(events);
    socket(0).tell("j", 1, "queued");
    socket(0).tell("j", 2, "delta", delta("one "));
    for (const [from, seq, text] of [
      [2, 3, "one two "],
      [2, 4, "one two three "],
      [1, 4, "one two three "],
    ] as const) {
      const { length } = socket(0).wishes;
      several(socket(0), from, seq, text);
      expect(socket(0).wishes).toHaveLength(length + 1);
      expect(socket(0).wishes.at(-1)!.after).toMatchObject({ j: 2 });
      socket(0).subscribed();
      await settle();
    }
    several(socket(0), 3, 4, "two three ");
    await settle();
    expect(told.map(textOf).join("")).toBe("one two three ");
    await events.return();
  });
});
