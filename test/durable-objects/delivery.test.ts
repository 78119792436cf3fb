/** How the dispatcher gathers the chunks of a stream. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Delivery } from "../../durable-objects/dispatcher/delivery.ts";
import type { Piece } from "../../durable-objects/dispatcher/upstream.ts";
import { meaningOf } from "../../policy/verbatim.ts";
import { chunk } from "../support/world.ts";

beforeEach(() => {
  // Gaps are timed by timers: faked ones make them exact, and nothing is waited for.
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

type Said = { choices: { delta: { content: string } }[] };

const say = (content: string): Piece => {
  const value = chunk([{ index: 0, delta: { content }, logprobs: null, finish_reason: null }]);
  return { value, text: JSON.stringify(value) };
};

function delivery(gapMs: number, verbatim = false) {
  const batches: string[][] = [];
  const made = new Delivery(true, verbatim, async ({ chunks, index }) => {
    batches.push((chunks.map(meaningOf) as Said[]).map(({ choices }) => choices[0]!.delta.content));
    return { ok: true, need: index + 1, gapMs };
  });
  return { made, batches };
}

it("the first chunk goes at once; what comes within the gap goes together after it, though nothing waited when the gap began", async () => {
  const { batches, made } = delivery(50);
  made.add(say("a"));
  await vi.advanceTimersByTimeAsync(0);
  expect(batches).toEqual([["a"]]);
  for (const letter of "bcde") {
    await vi.advanceTimersByTimeAsync(10);
    made.add(say(letter));
  }
  await vi.advanceTimersByTimeAsync(9);
  expect(batches).toEqual([["a"]]);
  await vi.advanceTimersByTimeAsync(1);
  expect(batches).toEqual([["a"], ["b", "c", "d", "e"]]);
});

it("a second of silence -> the next chunk goes at once", async () => {
  const { batches, made } = delivery(50);
  made.add(say("a"));
  await vi.advanceTimersByTimeAsync(1_000);
  made.add(say("b"));
  await vi.advanceTimersByTimeAsync(0);
  expect(batches).toEqual([["a"], ["b"]]);
});

it("100 chunks a second to a mailbox with many readers: five batches a second, each of one chunk", async () => {
  const { batches, made } = delivery(200);
  for (let count = 0; count < 100; count++) {
    made.add(say("x"));
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(batches.length).toBeLessThanOrEqual(6);
  expect(batches.slice(1).every((batch) => batch.length === 1)).toBe(true);
  await made.drain();
  expect(batches.flat().join("")).toBe("x".repeat(100));
});

it("a caller wants each chunk as it came: many readers make batches rarer, and melt nothing", async () => {
  const { batches, made } = delivery(200, true);
  for (let count = 0; count < 20; count++) {
    made.add(say("x"));
    await vi.advanceTimersByTimeAsync(10);
  }
  await made.drain();
  expect(batches.length).toBeLessThanOrEqual(3);
  expect(batches.flat()).toEqual(Array(20).fill("x"));
});

it("chunks that are large, as of audio, go in batches of half a million characters", async () => {
  const { batches, made } = delivery(50, true);
  for (let count = 0; count < 12; count++) made.add(say("x".repeat(100_000)));
  await made.drain();
  expect(batches.flat()).toHaveLength(12);
  for (const batch of batches) expect(batch.join("").length).toBeLessThanOrEqual(500_000);
});

it("a chunk that fits in no row -> is not sent, nor tried again: the deltas are lacking", async () => {
  const { batches, made } = delivery(50);
  made.add(say("語".repeat(700_000)));
  await made.drain();
  expect(batches).toEqual([]);
  expect(made.isLacking).toBe(true);
});

it("a chunk that fits in a row alone -> goes alone", async () => {
  const { batches, made } = delivery(50);
  for (const letter of "ab") made.add(say(letter.repeat(1_800_000)));
  await made.drain();
  expect(batches.map((batch) => batch.map((text) => text.length))).toEqual([[1_800_000], [1_800_000]]);
  expect(made.isLacking).toBe(false);
});

it("the stream is over: what is left goes at once, whatever the gap", async () => {
  const { batches, made } = delivery(1_000);
  made.add(say("a"));
  await vi.advanceTimersByTimeAsync(0);
  made.add(say("b"));
  await made.drain();
  expect(batches).toEqual([["a"], ["b"]]);
});

describe("a mailbox that cannot be reached", () => {
  function broken(failures: number) {
    const batches: number[] = [];
    let tries = 0;
    const made = new Delivery(true, false, async ({ index }) => {
      if (++tries <= failures) throw new Error("not there");
      batches.push(index);
      return { ok: true, need: index + 1, gapMs: 50 };
    });
    return { made, batches, tries: () => tries };
  }

  it("for a while -> is asked again, and gets every batch, in order", async () => {
    const { batches, made } = broken(9);
    made.add(say("a"));
    await vi.advanceTimersByTimeAsync(300_000);
    made.add(say("b"));
    await made.drain();
    expect(batches).toEqual([0, 1]);
  });

  it("at the end of the answer -> is asked at once, then some times more, and no longer: the result is to be brought there", async () => {
    const { batches, made, tries } = broken(1_000);
    made.add(say("a"));
    await vi.advanceTimersByTimeAsync(600_000);
    const before = tries();
    const drained = made.drain();
    await vi.advanceTimersByTimeAsync(0);
    expect(tries()).toBe(before + 1);
    await vi.advanceTimersByTimeAsync(40_000);
    await drained;
    expect(tries()).toBeLessThanOrEqual(before + 7);
    expect(batches).toEqual([]);
  });

  it("of a call that was broken off -> is not asked any more", async () => {
    const { made, tries } = broken(1_000);
    made.add(say("a"));
    await vi.advanceTimersByTimeAsync(10_000);
    made.stop();
    await made.drain();
    const after = tries();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(tries()).toBe(after);
  });
});
