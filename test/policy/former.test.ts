import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Budget, type Limits, openBudget, readiness, reserve } from "../../policy/budget.ts";
import { type LedgerRecord, nextRecord, rescale, restore } from "../../policy/ledger.ts";
import { rescaled, type Standing } from "../../policy/standing.ts";
import { START } from "./intervals.ts";

const limits = (rpm: number, rpd: number | null = null): Limits => ({
  ...{ rpm, tpm: null, rpd, tpd: null, concurrency: null },
  burstSeconds: 60,
  transitMs: 0,
});

/** The same budget with other limits, as after a restart. */
function reopened(budget: Budget, of: Limits, now: number): Budget {
  const record = JSON.parse(JSON.stringify(nextRecord(budget, null, now, 0))) as LedgerRecord;
  const after = openBudget(of);
  restore(after, record, now);
  return after;
}

/** How many calls can start at once. */
function drain(budget: Budget, now: number): number {
  let gone = 0;
  for (; readiness(budget, 1, now).at <= now; gone++) reserve(budget, 1, now);
  return gone;
}

describe("what was spent of a limit that was lowered, and is back", () => {
  it.each([
    ["at once", 0, 0],
    ["after a while", 12_000, 100],
    ["after it has refilled", 60_000, 500],
  ])("%s -> no more goes than it has left", (_, ms, left) => {
    const full = openBudget(limits(500));
    expect(drain(full, START)).toBe(500);
    const low = reopened(full, limits(6), START);
    expect(drain(low, START)).toBe(0);
    const again = reopened(low, limits(500), START + ms);
    const gone = drain(again, START + ms);
    expect(gone).toBeLessThanOrEqual(left);
    // What was counted under the lower limit counts twice.
    expect(gone).toBeGreaterThanOrEqual(left - 7);
  });

  it("in part -> no more than the greater one has left, and the rest when that is back", () => {
    const full = openBudget(limits(500));
    drain(full, START);
    const part = reopened(reopened(full, limits(6), START), limits(100), START);
    expect(drain(part, START)).toBe(0);
    expect(drain(reopened(part, limits(500), START), START)).toBe(0);
  });

  it("a day's that was taken away -> is spent still, and what went meanwhile is not counted", () => {
    const day = openBudget(limits(1e6, 40));
    expect(drain(day, START)).toBe(40);
    const none = reopened(day, limits(1e6), START);
    for (let count = 0; count < 100; count++) reserve(none, 1, START);
    expect(drain(reopened(none, limits(1e6, 40), START), START)).toBe(0);
  });

  it("raised -> what was spent of the lower one is spent", () => {
    const low = openBudget(limits(60));
    expect(drain(low, START)).toBe(60);
    expect(drain(reopened(low, limits(100), START), START)).toBe(39);
  });

  it("whatever limits follow each other, one after the other and as long as they like -> none lets more through than it would have by itself", () => {
    const change = fc.record({ rpm: fc.constantFrom(6, 60, 300, 500), ms: fc.integer({ min: 0, max: 20_000 }) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        let [budget, now] = [openBudget(limits(500)), START];
        const taken: { at: number; count: number }[] = [];
        for (const { ms, rpm } of [{ ms: 0, rpm: 500 }, ...changes, { ms: 0, rpm: 500 }]) {
          now += ms;
          budget = reopened(budget, limits(rpm), now);
          taken.push({ at: now, count: drain(budget, now) });
        }
        // Upstream keeps the greatest limit throughout: no interval may hold more than its burst plus what refills.
        for (const [from, { at }] of taken.entries()) {
          let sum = 0;
          for (const each of taken.slice(from)) {
            sum += each.count;
            expect(sum).toBeLessThanOrEqual(500 + ((each.at - at) * 500) / 60_000 + 1);
          }
        }
      }),
    );
  });
});

describe("what is owed in ms of a pool's rate", () => {
  it("of a limit that was raised -> is less, as much as the rate is more; of one that was lowered is as it was", () => {
    const record = nextRecord(openBudget(limits(6)), null, START)!;
    expect(rescale(record, openBudget(limits(600)))).toBeCloseTo(0.01, 9);
    expect(rescale(record, openBudget(limits(3)))).toBe(1);
    expect(rescale({ ...record, perMs: {} }, openBudget(limits(600)))).toBe(1);
  });

  it("scales leads, credits and debts, and nothing of what is no time", () => {
    const use = { reserved: 10, used: 20, squares: 30 };
    const standing: Standing = {
      flows: [
        ["a", 100, 50, true],
        ["b", 40, 0, false, { use, debt: 20 }],
      ],
      others: 10,
      part: 0.5,
      lasts: { live: { flow: "a", at: 7, otherAt: 3 } },
      passed: ["job", 30],
    };
    expect(rescaled(standing, 0.1)).toEqual({
      flows: [
        ["a", 10, 5, true, {}],
        ["b", 4, 0, false, { use, debt: 2 }],
      ],
      others: 1,
      part: 0.5,
      lasts: { live: { flow: "a", at: 7, otherAt: 3 } },
      passed: ["job", 3],
    });
  });
});
