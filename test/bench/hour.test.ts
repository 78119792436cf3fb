import { describe, expect, it } from "vitest";
import { HOUR, HOUR_MINUTES, type Phase } from "../../bench/hour/programme.ts";
import { duplicates, firstCall, resumed, utilisation } from "../../bench/hour/report.ts";
import type { Passed, Sample } from "../../bench/hour/run.ts";
import type { Books } from "../../bench/hour/upstreams.ts";

const none: Books = {
  calls: 0,
  admitted: 0,
  others: 0,
  othersRefused: 0,
  own429: 0,
  foreign429: 0,
  billing429: 0,
  slowDown429: 0,
  paidAgain: new Map(),
};
const books = (admitted: number, others = 0): Books => ({ ...none, admitted, others });
const plain = { headers: true, gateway: 0, slowDown: 0, day: null, resumed: false };
const minute: Phase = { name: "a minute", minutes: 1, work: true, others: 0, limit: 1, halted: false, ...plain };

/** A phase of `seconds` at 600 requests a minute, in which so many calls came through. */
function passed(from: number, seconds: number, [before, after]: [Books, Books], more: Partial<Phase> = {}): Passed {
  const limits = { rpm: 600, tpm: 1 };
  return { phase: { ...minute, ...more }, limits, from: from * 1_000, to: (from + seconds) * 1_000, before, after };
}

describe("the programme", () => {
  it("is an hour, and has all that it is to show", () => {
    expect(HOUR_MINUTES).toBe(60);
    expect(HOUR.filter(({ others }) => others > 0).length).toBeGreaterThan(1);
    expect(HOUR.some(({ limit }) => limit === 0.5) && HOUR.some(({ halted }) => halted) && HOUR.some(({ work }) => !work)).toBe(true);
    expect(HOUR.some(({ headers, others }) => !headers && others > 0) && HOUR.some(({ gateway }) => gateway > 0)).toBe(true);
    expect(HOUR.some(({ slowDown }) => slowDown > 0) && HOUR.some(({ day }) => day !== null)).toBe(true);
  });
});

describe("utilisation", () => {
  it("is what was used, by whomever, over what there was", () => {
    expect(utilisation([passed(0, 60, [none, books(400, 140)])], 0)).toBeCloseTo(0.9);
  });

  it("a bucket's minute is there at the start as well", () => {
    expect(utilisation([passed(0, 60, [none, books(1_200)])], 60)).toBeCloseTo(1);
  });

  it("what a bucket saved while nobody worked is there afterwards, and no more than it holds", () => {
    const first = passed(0, 60, [none, books(1_200)]);
    const idle = (seconds: number, used: number) => passed(60, seconds, [books(1_200), books(1_200 + used)], { work: false });
    const then = (used: number, calls: number) => passed(90, 60, [books(1_200 + used), books(1_200 + used + calls)]);
    expect(utilisation([first, idle(30, 0), then(0, 900)], 60)).toBeCloseTo(1);
    expect(utilisation([first, idle(300, 0), then(0, 1_200)], 60)).toBeCloseTo(1);
    expect(utilisation([first, idle(30, 100), then(100, 800)], 60)).toBeCloseTo(1);
  });

  it.each([{ halted: true }, { day: 0.5 }, { slowDown: 5 }])("%j is no time to use anything", (stopped) => {
    const halted = passed(60, 60, [books(600), books(600)], stopped);
    expect(utilisation([passed(0, 60, [none, books(600)]), halted], 0)).toBeCloseTo(1);
  });
});

describe("duplicates", () => {
  const job = (possible: number) => ({ status: "completed" as const, attempts: 1, possible_duplicates: possible, error: null });

  it("are explained by what the job itself tells, and by nothing else", () => {
    const ended = new Map([
      ["told", job(1)],
      ["silent", job(0)],
      ["half", job(1)],
    ]);
    const paid = new Map([
      ["told", 2],
      ["silent", 2],
      ["half", 3],
      ["unknown", 2],
    ]);
    expect(duplicates(paid, ended)).toEqual({ calls: 5, unexplained: ["silent", "half", "unknown"] });
  });
});

describe("the time to resume", () => {
  /** A sample each half second; ten calls a second after 40 s. */
  const samples: Sample[] = Array.from({ length: 121 }, (_, n) => ({ at: n * 500, books: books(Math.max(0, n * 5 - 400)) }));

  it("to the first call is counted from the event", () => {
    expect(firstCall(samples, 30_000)).toBe(10.5);
    expect(firstCall(samples, 60_000)).toBeNull();
  });

  it("to nine tenths of the limit needs them for five seconds", () => {
    expect(resumed(samples, 30_000, 600, 0.9)).toBe(14.5);
    expect(resumed(samples, 45_000, 600, 0.9)).toBe(5);
    expect(resumed(samples, 30_000, 6_000, 0.9)).toBeNull();
  });
});
