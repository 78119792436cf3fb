/** What was taken and turned out to be unused is given back only as far as a bucket without that take would have room now. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bucket, FULL, giveBack, type Rate, readyAt, spentAt, take } from "../../policy/bucket.ts";
import { openBudget, refund, refundTokens, reserve, used } from "../../policy/budget.ts";
import { broken, START } from "./intervals.ts";

const NONE = { rpm: null, tpm: null, rpd: null, tpd: null, concurrency: null, burstSeconds: 60, transitMs: 0 };

describe("many calls at once", () => {
  it("that were all turned away give all back but what a full bucket would have lost", () => {
    const budget = openBudget({ ...NONE, rpm: 60, tpm: 60_000 });
    const calls = Array.from({ length: 60 }, () => reserve(budget, 1_000, START));
    for (const call of calls) refund(budget, call, START + 1_500);
    expect(used(budget, "rpm", START + 1_500)).toBeCloseTo(0, 6);
    expect(used(budget, "tpm", START + 1_500)).toBeCloseTo(0, 3);
  });

  it("that used a fifth of what they reserved have spent a fifth", () => {
    const budget = openBudget({ ...NONE, tpm: 60_000 });
    const calls = Array.from({ length: 12 }, () => reserve(budget, 5_000, START));
    for (const { at } of calls) refundTokens(budget, 4_000, at, START + 6_000);
    expect(used(budget, "tpm", START + 6_000)).toBeCloseTo(12 * 1_000 - 6_000, 3);
  });

  it("of which the bucket would have been full without them: what others took since stays spent", () => {
    const budget = openBudget({ ...NONE, tpm: 60_000 });
    const two = [reserve(budget, 25_000, START), reserve(budget, 25_000, START)];
    reserve(budget, 30_000, START + 20_000);
    for (const each of two) refund(budget, each, START + 20_000);
    expect(used(budget, "tpm", START + 20_000)).toBeCloseTo(30_000, 6);
  });

  it("of which one filled the bucket with what it gave back: nothing is left for the other to give", () => {
    const budget = openBudget({ ...NONE, tpm: 60_000 });
    const [first, second] = [reserve(budget, 5_000, START), reserve(budget, 5_000, START)];
    refund(budget, first, START + 6_000);
    reserve(budget, 5_000, START + 6_000);
    refund(budget, second, START + 6_000);
    expect(used(budget, "tpm", START + 6_000)).toBeCloseTo(5_000, 6);
  });
});

const RATE: Rate = { perMs: 1, burst: 60_000 };
it("what a bucket remembers for it stays small, however much is given back", () => {
  let bucket = FULL;
  const open: number[] = [];
  let most = 0;
  for (let now = START; now < START + 500_000; now += 100) {
    bucket = take(bucket, RATE, 100 + (now % 900), now);
    open.push(now);
    if (open.length > 300) bucket = giveBack(bucket, RATE, 100 + (open[0]! % 900), open.shift()!, now);
    most = Math.max(most, bucket.lows!.length);
  }
  expect(most).toBeLessThan(140);
});

type Step = { ms: number; share: number; keeps: number; ends: number };
const step: fc.Arbitrary<Step> = fc.record({
  ms: fc.oneof(fc.constant(0), fc.nat(300), fc.nat(20_000)),
  share: fc.double({ min: 0, max: 0.6, noNaN: true }),
  keeps: fc.constantFrom(0, 0, 0.2, 0.9, 1),
  /** How many steps later it is known what the call kept. */
  ends: fc.nat(12),
});

/** All takes as they come, and as they turned out to be. */
function play(steps: Step[]): {
  bucket: Bucket;
  now: number;
  kept: { at: number; tokens: number }[];
  open: { at: number; tokens: number }[];
} {
  let bucket = FULL;
  let now = START;
  let [kept, open] = [[] as { at: number; tokens: number }[], [] as { at: number; tokens: number; keeps: number; end: number }[]];
  for (const [index, { ms, share, keeps, ends }] of steps.entries()) {
    now += ms;
    for (const { at, tokens, keeps } of open.filter(({ end }) => end === index)) {
      bucket = giveBack(bucket, RATE, tokens * (1 - keeps), at, now);
      kept.push({ at, tokens: tokens * keeps });
    }
    open = open.filter(({ end }) => end !== index);
    const tokens = share * RATE.burst;
    if (readyAt(bucket, RATE, tokens, now) > now) continue;
    bucket = take(bucket, RATE, tokens, now);
    open.push({ at: now, tokens, keeps, end: index + 1 + ends });
  }
  kept = [...kept, ...open].toSorted((a, b) => a.at - b.at);
  return { bucket, now, kept, open };
}

describe("random histories", () => {
  // Law: the amount spent is what it would be if only what was used had ever been taken.
  it("leave a bucket as if only what was used had ever been taken, or a sixtieth of it less free", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { bucket, kept, now } = play(steps);
        const alone = kept.reduce((sum, { at, tokens }) => take(sum, RATE, tokens, at), FULL);
        const [spent, truth] = [spentAt(bucket, RATE, now), spentAt(alone, RATE, now)];
        expect(spent).toBeGreaterThanOrEqual(truth - 1e-3);
        expect(spent).toBeLessThanOrEqual(truth + RATE.burst / 60);
      }),
      { numRuns: 1_000 },
    );
  });

  // Law (promise 1): in every interval, what was used or may still be used is at most burst + rate × T.
  it("never let go more than the bucket holds, in any interval", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        expect(broken(play(steps).kept, { ...NONE, tpm: 60_000 })).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });
});

it("the memory of what was lowest stays small, however many calls start at once or one after the other", () => {
  let bucket = FULL;
  for (let call = 0; call < 10_000; call++) bucket = take(bucket, RATE, 5, START + call * 2);
  expect(bucket.lows?.length ?? 0).toBeLessThanOrEqual(64);
});
