import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bucket, FULL, freeAt, give, type Rate, readyAt, spentAt, take } from "../../policy/bucket.ts";
import { type Admitted, excess, START } from "./intervals.ts";

const RATE: Rate = { perMs: 2, burst: 100 };
/** From one unit a day to 180,000,000 a minute, with a burst worth half a ms to a day. */
const rate = fc
  .tuple(fc.double({ min: 1 / 86_400_000, max: 3_000, noNaN: true }), fc.double({ min: 0.5, max: 86_400_000, noNaN: true }))
  .map(([perMs, burstMs]): Rate => ({ perMs, burst: perMs * burstMs }))
  .filter(({ burst }) => burst > 1e-4);
/** An amount as a share of the burst, and how long to wait: until ready, slightly less, or a share of the burst's refill time. */
const step = fc.record({
  share: fc.double({ min: 0, max: 2, noNaN: true }),
  wait: fc.oneof(fc.constant("ready" as const), fc.constant("nearly" as const), fc.double({ min: 0, max: 1.5, noNaN: true })),
});

describe("a bucket", () => {
  it("is full at first, whatever the clock says", () => {
    for (const now of [0, START]) expect(freeAt(FULL, RATE, now)).toBe(100);
  });

  it("refills as time passes, and never above its burst", () => {
    const bucket = take(FULL, RATE, 60, START);
    expect([0, 10, 30, 1e9].map((after) => freeAt(bucket, RATE, START + after))).toEqual([40, 60, 100, 100]);
  });

  it("lets an amount above the burst go when it is full, and pays the debt off before the next", () => {
    expect(readyAt(FULL, RATE, 150, START)).toBe(START);
    const bucket = take(FULL, RATE, 150, START);
    expect(freeAt(bucket, RATE, START)).toBe(-50);
    expect(readyAt(bucket, RATE, 0, START)).toBe(START + 25);
    expect(readyAt(bucket, RATE, 1, START)).toBe(START + 25.5);
    expect(readyAt(bucket, RATE, 1_000, START)).toBe(START + 75);
  });

  it("refills nothing while the clock stands behind the last take", () => {
    const bucket = take(FULL, RATE, 100, START);
    expect(spentAt(bucket, RATE, START - 5_000)).toBe(100);
    const again = take(bucket, RATE, 10, START - 5_000);
    expect(again).toMatchObject({ spent: 110, at: START });
    expect(give(again, RATE, 10, START - 5_000)).toMatchObject({ spent: 100, at: START });
  });

  it("names the true instant after a clock stepped back: the lost time comes again, then the refill", () => {
    const bucket = take(FULL, RATE, 100, START);
    const at = readyAt(bucket, RATE, 10, START - 5_000);
    expect(at).toBe(START + 5);
    expect(readyAt(bucket, RATE, 10, at)).toBe(at);
    expect(readyAt(bucket, RATE, 10, at - 1)).toBeGreaterThan(at - 1);
  });

  it("holds no more than its burst after a refund", () => {
    expect(freeAt(give(take(FULL, RATE, 10, START), RATE, 1_000, START), RATE, START)).toBe(100);
  });
});

describe("random histories", () => {
  // Law: in every interval of length T, the amount taken is at most burst + perMs × T, or the largest single amount in place of the burst.
  it("never take more than the law allows, in any interval", () => {
    fc.assert(
      fc.property(rate, fc.array(step, { maxLength: 60 }), (rate, steps) => {
        const log = run(rate, steps);
        const most = Math.max(rate.burst, ...log.map((call) => call.tokens));
        expect(excess(log, { perMs: rate.perMs, most, amountOf: (call) => call.tokens })).toBeLessThan(1e-6 + rate.perMs * 5e-4);
      }),
      { numRuns: 500 },
    );
  });

  // Law: `readyAt` is the earliest instant: ready then, not ready a ms before.
  it("know the very instant at which an amount can be taken", () => {
    fc.assert(
      fc.property(rate, fc.array(step, { maxLength: 20 }), fc.double({ min: 0, max: 2, noNaN: true }), (rate, steps, share) => {
        let now = START;
        let bucket = FULL;
        run(rate, steps, (state, at) => {
          bucket = state;
          now = at;
        });
        const amount = share * rate.burst;
        const at = readyAt(bucket, rate, amount, now);
        expect(readyAt(bucket, rate, amount, at)).toBe(at);
        expect(readyAt(bucket, rate, amount, Math.ceil(at))).toBe(Math.ceil(at));
        // Half a millionth of a unit counts as rounding: at a slow rate that is several ms.
        const before = at - 1 - 5e-7 / rate.perMs;
        if (before > now) expect(readyAt(bucket, rate, amount, before)).toBeGreaterThan(before);
      }),
      { numRuns: 500 },
    );
  });

  it("come out the same when each take is given back at once", () => {
    fc.assert(
      fc.property(rate, fc.array(step, { maxLength: 20 }), fc.double({ min: 0, max: 2, noNaN: true }), (rate, steps, share) => {
        run(rate, steps, (state, now) => {
          const amount = share * rate.burst;
          const back = give(take(state, rate, amount, now), rate, amount, now);
          expect(Math.abs(spentAt(back, rate, now) - spentAt(state, rate, now))).toBeLessThanOrEqual(rate.burst * 1e-12);
        });
      }),
    );
  });
});

type Step = { share: number; wait: number | "ready" | "nearly" };

/** Tries each amount after its wait and logs what was let through. */
function run(rate: Rate, steps: Step[], watch: (bucket: Bucket, now: number) => void = () => {}): Admitted[] {
  const log: Admitted[] = [];
  let bucket = FULL;
  let now = START;
  for (const { share, wait } of steps) {
    const tokens = share * rate.burst;
    if (typeof wait === "number") now += (wait * rate.burst) / rate.perMs;
    else now = Math.max(now, readyAt(bucket, rate, tokens, now) - (wait === "nearly" ? 1 : 0));
    if (readyAt(bucket, rate, tokens, now) <= now) {
      bucket = take(bucket, rate, tokens, now);
      log.push({ at: now, tokens });
    }
    watch(bucket, now);
  }
  return log;
}
