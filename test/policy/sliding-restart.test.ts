/** What is stored of limits counted in windows. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openBudget, readiness, reserve, used } from "../../policy/budget.ts";
import { type LedgerRecord, nextRecord, restore } from "../../policy/ledger.ts";
import { START } from "./intervals.ts";
import { LIMITS, SPAN, type Taken, worst } from "./windows.ts";

describe("a pool of windows after a restart", () => {
  const again = (record: LedgerRecord, now: number, limits = LIMITS) => {
    const budget = openBudget(limits);
    restore(budget, JSON.parse(JSON.stringify(record)) as LedgerRecord, now);
    return budget;
  };

  it("knows what was taken when: what a minute ago was taken is there again, and five seconds are lost", () => {
    const budget = openBudget(LIMITS);
    reserve(budget, 30_000, START);
    reserve(budget, 20_000, START + 50_000);
    const record = nextRecord(budget, null, START + 50_000)!;
    const woken = again(record, START + 55_000);
    expect(used(woken, "tpm", START + 55_000)).toBeCloseTo(50_000 + 60_000 * (5_000 / SPAN), 6);
    expect(used(woken, "tpm", START + SPAN + 250)).toBeCloseTo(20_000 + 60_000 * (5_000 / SPAN), 6);
    expect(used(woken, "tpm", START + 55_000 + SPAN)).toBe(0);
  });

  // The record runs ahead by five seconds: all of a one-second window, and half of a ten-second one.
  it.each([1, 4, 10, 60])("of %i s, of which nothing was taken for longer than that: has all of it", (windowSeconds) => {
    const limits = { ...LIMITS, windowSeconds };
    let [budget, record, now] = [openBudget(limits), null as LedgerRecord | null, START];
    for (let call = 0; call < 5; call++) {
      expect(readiness(budget, 900 * windowSeconds, now).at).toBe(now);
      reserve(budget, 900 * windowSeconds, now);
      record = nextRecord(budget, record, now) ?? record;
      now += 70_000;
      budget = again(record!, now, limits);
    }
  });

  it("that wakes again and again while nothing is taken loses no more with each", () => {
    const budget = openBudget(LIMITS);
    reserve(budget, 30_000, START);
    let record = nextRecord(budget, null, START)!;
    for (let wake = 1; wake <= 5; wake++) {
      const woken = again(record, START + wake * 7_000);
      record = nextRecord(woken, record, START + wake * 7_000) ?? record;
    }
    expect(used(again(record, START + 40_000), "tpm", START + 40_000)).toBeCloseTo(30_000 + 60_000 * (5_000 / SPAN), 6);
  });

  // Law: at any later instant, what is restored after a crash is never less spent than the truth.
  it("never spends more than its limit in any interval, crash after crash", () => {
    const life = fc.record({
      ms: fc.oneof(fc.nat(50), fc.nat(3_000), fc.nat(70_000)),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      crash: fc.boolean(),
      downMs: fc.oneof(fc.nat(5_000), fc.nat(90_000)),
    });
    const limits = fc.constantFrom(
      LIMITS,
      { ...LIMITS, windowSeconds: 10 },
      { ...LIMITS, windowSeconds: 1 },
      { ...LIMITS, burstSeconds: 2 },
    );
    fc.assert(
      fc.property(
        limits,
        fc.array(life, { minLength: 10, maxLength: 60 }),
        fc.array(fc.nat(120_000), { maxLength: 5 }),
        (limits, steps, later) => {
          const whole = (60_000 * limits.windowSeconds!) / 60;
          let [budget, record, now] = [openBudget(limits), null as LedgerRecord | null, START];
          const log: Taken[] = [];
          for (const { crash, downMs, ms, share } of steps) {
            now += ms;
            const tokens = share * whole;
            if (readiness(budget, tokens, now).at <= now) {
              reserve(budget, tokens, now);
              log.push({ at: now, amount: tokens });
            }
            record = nextRecord(budget, record, now) ?? record;
            const truth = budget;
            const woken = again(record!, now + downMs, limits);
            for (const after of [0, ...later]) {
              const at = now + downMs + after;
              for (const each of ["rpm", "tpm"] as const)
                expect(used(woken, each, at)).toBeGreaterThanOrEqual(used(truth, each, at) - 1e-3);
            }
            if (!crash) continue;
            budget = woken;
            now += downMs;
          }
          const span = limits.windowSeconds! * 1_000 + limits.transitMs!;
          expect(worst(log, span)).toBeLessThanOrEqual(whole + 1e-3);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("writes no more than a record for each five seconds of rate", () => {
    const budget = openBudget(LIMITS);
    let [record, writes] = [null as LedgerRecord | null, 0];
    for (let now = START; now < START + 600_000; now += 100) {
      if (readiness(budget, 100, now).at > now) continue;
      reserve(budget, 100, now);
      const next = nextRecord(budget, record, now);
      if (next) writes++;
      record = next ?? record;
    }
    expect(writes).toBeGreaterThan(50);
    expect(writes).toBeLessThanOrEqual(600 / 5 + 1);
    expect(JSON.stringify(record).length).toBeLessThan(4_000);
  });

  it("of a record that knows a bucket alone lets no window overflow, and does not stand for a whole one", () => {
    const record = { at: START, heldUntil: 0, spent: { tpm: 11_000 }, perMs: { tpm: 54_000 / SPAN } };
    const woken = again(record, START + 1_000);
    expect(used(woken, "tpm", START + 1_000)).toBeGreaterThanOrEqual(60_000);
    expect(readiness(woken, 5_000, START + 1_000).at).toBeLessThan(START + 15_000);
    expect(used(again(record, START + 3 * SPAN), "tpm", START + 3 * SPAN)).toBe(0);
  });

  it("of windows that were shorter counts the limit of each that it does not know", () => {
    const budget = openBudget({ ...LIMITS, windowSeconds: 10 });
    reserve(budget, 10_000, START);
    const woken = again(nextRecord(budget, null, START)!, START);
    expect(used(woken, "tpm", START)).toBeGreaterThanOrEqual(6 * 10_000);
  });
});
