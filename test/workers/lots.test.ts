import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Line, lotsOf } from "../../workers/ingress/lots.ts";

// Time is faked and the tests move it: nothing really waits.
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const SIZE = { lines: 3, characters: 100, lingerMs: 30 };

/** A body that the test sends piece by piece, and the lots that have come out of it. */
function open() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const lots: string[][] = [];
  const read = async () => {
    for await (const lot of lotsOf(readable, SIZE)) lots.push(lot.map(({ text }: Line) => text));
  };
  const over = read().then(
    () => "ended",
    () => "broke off",
  );
  /** Resolves once the piece is read. */
  const send = async (text: string) => {
    await writer.write(new TextEncoder().encode(text));
    await vi.advanceTimersByTimeAsync(0);
  };
  return { lots, over, send, end: () => writer.close(), breakOff: () => writer.abort(new Error("gone")) };
}

it("a full lot is handed on at once; what is left of the piece waits for more", async () => {
  const { lots, send } = open();
  await send("1\n2\n3\n4\n");
  expect(lots).toEqual([["1", "2", "3"]]);
  await send("5\n6\n");
  expect(lots).toEqual([
    ["1", "2", "3"],
    ["4", "5", "6"],
  ]);
});

it("a lot is full by its characters as well", async () => {
  const { lots, send } = open();
  await send(`${"x".repeat(99)}\n`);
  expect(lots).toEqual([]);
  await send("y\n");
  expect(lots).toEqual([["x".repeat(99), "y"]]);
});

it("no more comes -> the lines that have come whole are handed on, the rest of a line stays", async () => {
  const { lots, send } = open();
  await send("1\n2\nthr");
  await vi.advanceTimersByTimeAsync(29);
  expect(lots).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(lots).toEqual([["1", "2"]]);
  await vi.advanceTimersByTimeAsync(10_000);
  await send("ee\n");
  await vi.advanceTimersByTimeAsync(30);
  expect(lots).toEqual([["1", "2"], ["three"]]);
});

it("lines keep coming, slowly -> none waits longer than its time for the lot to fill", async () => {
  const { lots, send } = open();
  await send("1\n");
  await vi.advanceTimersByTimeAsync(20);
  await send("2\n");
  await vi.advanceTimersByTimeAsync(10);
  expect(lots).toEqual([["1", "2"]]);
});

it("the time of a lot counts from its first line, not from the end of the one before", async () => {
  const { lots, send } = open();
  await send("1\n2\n3\n");
  await vi.advanceTimersByTimeAsync(29);
  await send("4\n");
  await vi.advanceTimersByTimeAsync(29);
  expect(lots).toEqual([["1", "2", "3"]]);
  await vi.advanceTimersByTimeAsync(1);
  expect(lots).toEqual([["1", "2", "3"], ["4"]]);
});

it("the body ends -> its last line needs no line break, and no timer is left", async () => {
  const { lots, over, send, end } = open();
  await send("1\n2");
  await end();
  expect(await over).toBe("ended");
  expect(lots).toEqual([["1", "2"]]);
  expect(vi.getTimerCount()).toBe(0);
});

it("the body breaks off -> the lines that came whole are handed on, the rest of a line is not", async () => {
  const { lots, over, send, breakOff } = open();
  await send("1\n2\n{half");
  await breakOff();
  expect(await over).toBe("broke off");
  expect(lots).toEqual([["1", "2"]]);
  expect(vi.getTimerCount()).toBe(0);
});

it("while a lot is dealt with, the body is not read on", async () => {
  let pulls = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        pulls++;
        controller.enqueue(new TextEncoder().encode("1\n2\n3\n"));
      },
    },
    { highWaterMark: 0 },
  );
  const lots = lotsOf(body, SIZE);
  await lots.next();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(pulls).toBe(1);
  await lots.return(undefined);
});
