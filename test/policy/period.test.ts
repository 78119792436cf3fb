/** Whether a reading is of the minute's limit or the day's, judged by the time until everything is free again. */
import { describe, expect, it } from "vitest";
import { type Expected, periodOf } from "../../policy/period.ts";

const expected = (most: number, more: Partial<Expected> = {}): Expected => ({ most, day: null, windowSeconds: null, ...more });
const SECONDS = { minute: 60, day: 86_400 };

/** What upstream reports of a limit of which `spent` is really spent: whole units left, and whole milliseconds until reset. */
function said(limit: number, spent: number, per: keyof typeof SECONDS, round: (ms: number) => number) {
  return { limit, remaining: Math.floor(limit - spent), resetMs: round((spent / limit) * SECONDS[per] * 1_000) };
}

const rounding = [Math.floor, Math.round, Math.ceil];

describe("a high limit of a minute of which little is spent", () => {
  const cases = [
    ["requests", 30_000, [0.2, 0.5, 1, 1.4, 2, 2.6, 3, 5]],
    ["requests", 10_000, [0.1, 0.5, 1, 1.2, 2.7]],
    ["tokens", 180_000_000, [10, 100, 1_000, 2_900, 4_000, 5_000, 50_000]],
    ["tokens", 40_000_000, [1, 300, 700, 1_500, 12_000]],
  ] as const;

  it.each(cases)("%s of %i: is the minute's, however its milliseconds are rounded", (_, limit, spents) => {
    for (const spent of spents)
      for (const round of rounding)
        expect([spent, periodOf(said(limit, spent, "minute", round), expected(limit))]).toEqual([spent, "minute"]);
  });

  it("is not one where the limit is the day's, as it is known, or is far above any of the minute's", () => {
    const reading = said(100_000_000, 100, "day", Math.floor);
    expect(reading.resetMs).toBe(86);
    expect(periodOf({ ...reading, resetMs: 0 }, expected(20_000_000, { day: 100_000_000 }))).toBe("day");
    expect(periodOf({ ...reading, resetMs: 0 }, expected(20_000_000))).toBeNull();
  });

  it("nor where the time says clearly otherwise", () => {
    expect(periodOf({ limit: 30_000, remaining: 29_000, resetMs: 1 }, expected(30_000))).toBeNull();
    expect(periodOf({ limit: 30_000, remaining: 29_999, resetMs: 500 }, expected(30_000))).toBeNull();
    expect(periodOf({ limit: 600, remaining: 599, resetMs: 864_000_00 / 600 }, expected(600))).toBe("day");
  });
});

it("a day's limit is the day's, much or little of it spent", () => {
  for (const spent of [1, 2, 40, 9_000])
    for (const round of rounding) expect(periodOf(said(10_000, spent, "day", round), expected(500, { day: null }))).toBe("day");
});

it("a low limit of which a part of a request is spent tells of its minute too", () => {
  for (const spent of [0.3, 0.9, 1, 1.5, 2.2, 30])
    expect([spent, periodOf(said(500, spent, "minute", Math.round), expected(500))]).toEqual([spent, "minute"]);
});
