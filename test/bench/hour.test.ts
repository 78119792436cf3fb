import { describe, expect, it } from "vitest";
import { HOUR, HOUR_MINUTES, type Phase } from "../../bench/hour/programme.ts";
import { duplicates, firstCall, isAmiss, resumed, utilisation, wronglyFailed } from "../../bench/hour/report.ts";
import { inWork, type Passed, type Sample } from "../../bench/hour/run.ts";
import type { Books } from "../../bench/hour/upstreams.ts";

const none: Books = {
  calls: 0,
  admitted: 0,
  tokens: 0,
  others: 0,
  othersTokens: 0,
  othersRefused: 0,
  own429: 0,
  foreign429: 0,
  billing429: 0,
  slowDown429: 0,
  paidAgain: new Map(),
};
const books = (admitted: number, others = 0): Books => ({ ...none, admitted, others });
const spent = (tokens: number, othersTokens = 0): Books => ({ ...none, tokens, othersTokens });
const plain = { headers: true, gateway: 0, slowDown: 0, day: null, large: false, cut: false };
const minute: Phase = { name: "a minute", minutes: 1, work: true, others: 0, limit: 1, halted: false, ...plain };

/** A phase of `seconds` at 600 requests a minute, with the books before and after it. */
function passed(from: number, seconds: number, [before, after]: [Books, Books], more: Partial<Phase> = {}): Passed {
  const limits = { rpm: 600, tpm: 600_000 };
  return { phase: { ...minute, ...more }, limits, from: from * 1_000, to: (from + seconds) * 1_000, before, after };
}

describe("the programme", () => {
  it("is an hour, and has all that it is to show", () => {
    expect(HOUR_MINUTES).toBe(60);
    expect(HOUR.filter(({ others }) => others > 0).length).toBeGreaterThan(1);
    expect(HOUR.some(({ limit }) => limit === 0.5) && HOUR.some(({ halted }) => halted) && HOUR.some(({ work }) => !work)).toBe(true);
    expect(HOUR.some(({ headers, others }) => !headers && others > 0) && HOUR.some(({ gateway }) => gateway > 0)).toBe(true);
    expect(HOUR.some(({ slowDown }) => slowDown > 0) && HOUR.some(({ day }) => day !== null)).toBe(true);
    expect(HOUR.some(({ large, others }) => large && others === 0) && HOUR.some(({ large, others }) => large && others > 0)).toBe(true);
  });

  it("a cut holds from a slow_down to the end: nobody lifts it", () => {
    const first = HOUR.findIndex(({ slowDown }) => slowDown > 0);
    expect(HOUR.map(({ cut }) => cut)).toEqual(HOUR.map((_, place) => place > first));
    expect(HOUR.at(-1)).toMatchObject({ cut: true, work: true });
  });
});

describe("the work at hand", () => {
  const limits = { rpm: 600, tpm: 600_000 };

  it("of large prompts is of tokens more than the minute has for as many requests as it lets through", () => {
    const small = inWork(limits, false);
    const large = inWork(limits, true);
    expect(small.promptTokens / limits.tpm).toBeLessThan(1 / limits.rpm);
    expect(large.promptTokens / limits.tpm).toBeGreaterThan(10 / limits.rpm);
    expect(large.jobs).toBeLessThan(small.jobs);
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

  it("is of the tokens where prompts are large, others' too", () => {
    const large = passed(0, 60, [spent(100_000), spent(400_000, 180_000)], { large: true });
    expect(utilisation([large], 0)).toBeCloseTo(0.8);
    expect(utilisation([passed(0, 60, [none, books(600)]), { ...large, from: 60_000, to: 120_000 }], 0)).toBeCloseTo(0.9);
    expect(utilisation([passed(0, 60, [none, books(300)]), { ...large, from: 60_000, to: 120_000 }], 0, "tokens")).toBeCloseTo(0.8);
  });

  it("tokens that a bucket saved while requests bound are there where tokens bind, and the reverse", () => {
    const first = passed(0, 60, [none, { ...books(1_200), tokens: 600_000 }]);
    const large = passed(60, 60, [spent(600_000), spent(1_800_000)], { large: true });
    expect(utilisation([first, large], 60)).toBeCloseTo(1);
    expect(utilisation([first, large, passed(120, 60, [none, books(1_200)])], 60)).toBeCloseTo(1);
  });

  it.each([{ halted: true }, { day: 0.5 }, { slowDown: 5 }, { cut: true }])("%j is no time to use anything", (stopped) => {
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

describe("jobs that failed", () => {
  const end = (status: "completed" | "failed" | "expired" | "cancelled", code: string | null = null) => ({
    ...{ status, attempts: 1, possible_duplicates: 0 },
    error: code === null ? null : { status: 500, code, message: "", type: "server_error", param: null },
  });

  it("did so wrongly: upstream refuses none of the hour for what it is", () => {
    const ended = new Map([
      ["well", end("completed")],
      ["given up", end("failed", "rate_limit_exceeded")],
      ["late", end("expired")],
      ["nobody's wish", end("cancelled")],
    ]);
    expect(wronglyFailed(ended)).toEqual([
      { label: "given up", why: "failed, rate_limit_exceeded" },
      { label: "late", why: "expired" },
      { label: "nobody's wish", why: "cancelled" },
    ]);
  });

  it("make the hour amiss, as lost ones do, and calls made twice that nobody tells of; others do not", () => {
    const well = { lost: 0, unexplained: [], wronglyFailed: [] };
    expect(isAmiss(well)).toBe(false);
    expect(isAmiss({ ...well, wronglyFailed: [{ label: "a", why: "failed" }] })).toBe(true);
    expect(isAmiss({ ...well, lost: 1 })).toBe(true);
    expect(isAmiss({ ...well, unexplained: ["a"] })).toBe(true);
  });
});

describe("the time to resume", () => {
  /** One sample every half second; ten calls a second from 40 s on. */
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
