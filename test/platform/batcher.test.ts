import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Batcher, type BatcherOptions } from "../../platform/batcher.ts";

const OPTIONS: BatcherOptions = { maxItems: 3, gapMs: 100, regroup: false, abreast: 1 };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

type Batch = { at: number; items: number[] /** When it was answered, ms. */; answeredAt: number };

/** In faked time: records the batches as they are flushed, and when. Flushing takes `ms`, and answers each item with its double. */
function recorded(options: Partial<BatcherOptions>, ms = 0) {
  const batches: Batch[] = [];
  const began = Date.now();
  const state = { running: 0, most: 0 };
  const batcher = new Batcher<number, number>(
    async (items) => {
      const batch = { at: Date.now() - began, items, answeredAt: Number.POSITIVE_INFINITY };
      batches.push(batch);
      state.most = Math.max(state.most, ++state.running);
      // In faked time (`useFakeTimers` above), which the tests move: nothing really waits.
      if (ms > 0) await new Promise((done) => setTimeout(done, ms));
      state.running--;
      batch.answeredAt = Date.now() - began;
      return items.map((item) => item * 2);
    },
    { ...OPTIONS, ...options },
  );
  return { batcher, state, batches, times: () => batches.map(({ at, items }) => [at, ...items]) };
}

describe("a batcher", () => {
  it("lets a call that comes alone go in its own turn", async () => {
    const { batcher, times } = recorded({});
    const answer = batcher.add(1);
    expect(times()).toEqual([[0, 1]]);
    expect(await answer).toBe(2);
  });

  it("sends what comes close behind together when the gap is over, and goes at once again after a quiet time", async () => {
    const { batcher, times } = recorded({});
    void batcher.add(1);
    await vi.advanceTimersByTimeAsync(30);
    void batcher.add(2);
    await vi.advanceTimersByTimeAsync(30);
    void batcher.add(3);
    await vi.advanceTimersByTimeAsync(1_000);
    void batcher.add(4);
    expect(times()).toEqual([
      [0, 1],
      [100, 2, 3],
      [1_060, 4],
    ]);
  });

  it("cuts what is too much for one batch, in order", async () => {
    const { batcher, times } = recorded({});
    const answers = Promise.all([1, 2, 3, 4, 5, 6, 7].map((item) => batcher.add(item)));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(times()).toEqual([
      [0, 1],
      [100, 2, 3, 4],
      [200, 5, 6, 7],
    ]);
    expect(await answers).toEqual([2, 4, 6, 8, 10, 12, 14]);
  });

  it("has no more batches under way than may be abreast", async () => {
    for (const { abreast, starts } of [
      { abreast: 1, starts: [0, 250, 500] },
      { abreast: 2, starts: [0, 100, 250] },
      { abreast: 3, starts: [0, 100, 200] },
    ]) {
      const { batcher, state, times } = recorded({ abreast, maxItems: 1 }, 250);
      for (const item of [1, 2, 3]) void batcher.add(item);
      await vi.advanceTimersByTimeAsync(2_000);
      expect(times().map(([at]) => at)).toEqual(starts);
      expect(state.most).toBe(abreast);
    }
  });

  it("gathers what comes slower than the gap, while answers come slower still", async () => {
    const { batcher, times } = recorded({ abreast: 2, maxItems: 100, gapMs: 1 }, 1_000);
    for (let item = 1; item <= 8; item++) {
      void batcher.add(item);
      await vi.advanceTimersByTimeAsync(10);
    }
    await vi.advanceTimersByTimeAsync(5_000);
    expect(times()).toEqual([
      [0, 1],
      [10, 2],
      [1_000, 3, 4, 5, 6, 7, 8],
    ]);
  });

  it("does not wait out the gap for callers that were answered together and are all back", async () => {
    const { batcher, times } = recorded({ regroup: true, maxItems: 10 }, 20);
    for (const item of [1, 2, 3]) void batcher.add(item);
    await vi.advanceTimersByTimeAsync(50);
    // The first item's caller stays away, so the other two go when the gap after its answer is over.
    expect(times()).toEqual([[0, 1]]);
    await vi.advanceTimersByTimeAsync(100);
    expect(times().at(-1)).toEqual([120, 2, 3]);
    // Of these two callers, one is back: it waits for the other, which comes.
    void batcher.add(4);
    await vi.advanceTimersByTimeAsync(10);
    expect(times().length).toBe(2);
    void batcher.add(5);
    expect(times().at(-1)).toEqual([160, 4, 5]);
    await vi.advanceTimersByTimeAsync(30);
    void batcher.add(6);
    await vi.advanceTimersByTimeAsync(1_000);
    // One of the two is back, and nobody else: it waits out the gap.
    expect(times().at(-1)).toEqual([280, 6]);
  });

  it("makes one group of callers that took turns", async () => {
    const { batcher, times } = recorded({ regroup: true, maxItems: 10 }, 250);
    // Each calls again 5 ms after it was answered.
    const caller = async (name: number) => {
      for (let call = 0; call < 4; call++) {
        await batcher.add(name);
        // In faked time, as above: nothing really waits.
        await new Promise((done) => setTimeout(done, 5));
      }
    };
    for (const name of [1, 2, 3, 4]) void caller(name);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(times().slice(0, 3)).toEqual([
      [0, 1],
      [255, 2, 3, 4, 1],
      [510, 2, 3, 4, 1],
    ]);
  });

  it("lets whoever comes late wait for the others, not for long", async () => {
    const { batcher, times } = recorded({ regroup: true, maxItems: 10, abreast: 3 }, 1_000);
    for (const item of [1, 2, 3, 4, 5]) void batcher.add(item);
    await vi.advanceTimersByTimeAsync(150);
    expect(times()).toEqual([
      [0, 1],
      [100, 2, 3, 4, 5],
    ]);
    void batcher.add(6);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(times().at(-1)).toEqual([500, 6]);
  });

  it("keeps 32 callers together whose commits are slow and go one after the other", async () => {
    const sizes: number[] = [];
    let idleAt = Date.now();
    const commit = async (items: number[]) => {
      sizes.push(items.length);
      idleAt = Math.max(idleAt, Date.now()) + 10;
      // In faked time, as above: nothing really waits.
      await new Promise((done) => setTimeout(done, idleAt - Date.now()));
      return items;
    };
    const batcher = new Batcher<number, number>(commit, { maxItems: 256, gapMs: 4, regroup: true, abreast: 8 });
    const caller = async (name: number) => {
      for (let call = 0; call < 20; call++) {
        await batcher.add(name);
        // Callers that are answered together come back one shortly after another. In faked time, too.
        await new Promise((done) => setTimeout(done, name / 8));
      }
    };
    const all = Array.from({ length: 32 }, (_, name) => caller(name));
    await vi.advanceTimersByTimeAsync(30_000);
    await Promise.all(all);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(32 * 20);
    expect(sizes.length).toBeLessThan(2 * 20);
  });

  it("keeps nobody waiting longer than the gap when the clock steps back", async () => {
    const { batcher, batches } = recorded({});
    void batcher.add(1);
    vi.setSystemTime(Date.now() - 3_600_000);
    void batcher.add(2);
    await vi.advanceTimersByTimeAsync(100);
    expect(batches.map(({ items }) => items)).toEqual([[1], [2]]);
  });

  it.each([
    ["rejects", () => Promise.reject(new Error("disk full"))],
    [
      "throws",
      () => {
        throw new Error("disk full");
      },
    ],
  ])("fails every call of a batch whose flush %s, and no other", async (_, flush) => {
    let broken = false;
    const batcher = new Batcher<number, number>(async (items) => (broken ? flush() : items), OPTIONS);
    expect(await batcher.add(0)).toBe(0);
    broken = true;
    const failing = Promise.allSettled([1, 2].map((item) => batcher.add(item)));
    await vi.advanceTimersByTimeAsync(100);
    expect((await failing).map((each) => each.status === "rejected" && (each.reason as Error).message)).toEqual(["disk full", "disk full"]);
    broken = false;
    const next = batcher.add(3);
    await vi.advanceTimersByTimeAsync(100);
    expect(await next).toBe(3);
  });

  // Law: every item goes once, in order, in batches of at most maxItems. Two batches begin at least a gap apart, unless the callers of the first are
  // answered and back; no more batches are under way than allowed.
  it("sends each item once and in order, however they come", async () => {
    const options = fc.record({
      maxItems: fc.integer({ min: 1, max: 5 }),
      gapMs: fc.constantFrom(0, 10, 100),
      regroup: fc.boolean(),
      abreast: fc.integer({ min: 1, max: 3 }),
    });
    const arrivals = fc.array(fc.record({ after: fc.oneof(fc.constant(0), fc.nat(300)), items: fc.integer({ min: 1, max: 8 }) }), {
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(options, fc.constantFrom(0, 5, 150), arrivals, async (options, ms, arrivals) => {
        const { batcher, batches, state } = recorded(options, ms);
        const answers: Promise<number>[] = [];
        for (const { after, items } of arrivals) {
          await vi.advanceTimersByTimeAsync(after);
          for (let index = 0; index < items; index++) answers.push(batcher.add(answers.length));
        }
        await vi.advanceTimersByTimeAsync(200 * 300);
        expect(await Promise.all(answers)).toEqual(answers.map((_, index) => index * 2));
        expect(batches.flatMap(({ items }) => items)).toEqual(answers.map((_, index) => index));
        expect(batches.every(({ items }) => items.length > 0 && items.length <= options.maxItems)).toBe(true);
        for (const [index, batch] of batches.entries()) {
          const last = batches[index - 1];
          if (!last || batch.at - last.at >= options.gapMs) continue;
          expect(options.regroup).toBe(true);
          expect(last.answeredAt).toBeLessThanOrEqual(batch.at);
          expect(batch.items.length).toBeGreaterThanOrEqual(Math.min(options.maxItems, last.items.length * 0.9));
        }
        expect(state.most).toBeLessThanOrEqual(options.abreast);
      }),
      { numRuns: 100 },
    );
  });
});
