import { describe, expect, it } from "vitest";
import { Account, type AccountSettings, type Ask } from "../../workers/simulator/account.ts";
import type { Limits } from "../../workers/simulator/catalog.ts";
import { type ForeignStream, ForeignTraffic } from "../../workers/simulator/foreign.ts";

const START = 1_800_000_000_000;
const MINUTE = 60_000;
const MODEL = "gpt-5-mini";

const stream = (more: Partial<ForeignStream> = {}): ForeignStream => ({
  ...{ model: MODEL, rpm: 60, tpm: 6_000, from: START, until: Infinity, rampMs: 0, onMs: 0, offMs: 0, elsewhere: false },
  ...more,
});

function arrivals(streams: ForeignStream[], minutes: number, seed = 1) {
  return [...new ForeignTraffic(streams, seed).take(START + minutes * MINUTE)];
}

describe("foreign traffic", () => {
  it("comes at its rate and with its tokens, in order", () => {
    const seen = arrivals([stream(), stream({ rpm: 30, tpm: 300 })], 100);
    expect(seen.length).toBeGreaterThan(8_600);
    expect(seen.length).toBeLessThan(9_400);
    expect(seen.every(({ at }, index) => at >= START && at >= (seen[index - 1]?.at ?? 0))).toBe(true);
    const tokens = seen.reduce((sum, arrival) => sum + arrival.tokens, 0);
    expect(tokens / 630_000).toBeCloseTo(1, 1);
  });

  it("repeats with the seed, however often it is looked at", () => {
    const whole = arrivals([stream()], 10);
    const traffic = new ForeignTraffic([stream()], 1);
    const pieces = Array.from({ length: 100 }, (_, n) => [...traffic.take(START + (n + 1) * 0.1 * MINUTE)]).flat();
    expect(pieces).toEqual(whole);
    expect(arrivals([stream()], 10, 2)).not.toEqual(whole);
  });

  it("starts and stops: so long there, so long away, until its end", () => {
    const seen = arrivals([stream({ onMs: 2 * MINUTE, offMs: 3 * MINUTE, until: START + 7 * MINUTE })], 60);
    const minutes = new Set(seen.map(({ at }) => Math.floor((at - START) / MINUTE)));
    expect([...minutes]).toEqual([0, 1, 5, 6]);
  });

  it("a day's pause costs no more draws than a moment's", () => {
    const traffic = new ForeignTraffic([stream({ rpm: 60_000, onMs: 1_000, offMs: 1_000 * MINUTE })], 1);
    const seen = [...traffic.take(START + 10_000 * MINUTE)];
    expect(seen.length).toBeGreaterThan(9_000);
    expect(seen.length).toBeLessThan(11_000);
  });

  it("grows evenly to its height", () => {
    const seen = arrivals([stream({ rpm: 6_000, rampMs: 10 * MINUTE })], 20).map(({ at }) => (at - START) / MINUTE);
    const within = (from: number, to: number) => seen.filter((at) => at >= from && at < to).length / (to - from);
    expect(within(0, 5) / 1_500).toBeCloseTo(1, 1);
    expect(within(5, 10) / 4_500).toBeCloseTo(1, 1);
    expect(within(10, 20) / 6_000).toBeCloseTo(1, 1);
  });
});

function account(limits: Limits, more: Partial<AccountSettings> = {}, foreign: ForeignStream[] = []) {
  const made = new Account({
    limits: { [MODEL]: limits },
    burstSeconds: 60,
    countRejected: false,
    quantised: false,
    windows: false,
    growth: null,
    ...more,
  });
  made.setForeign(foreign, 1);
  const others = { admitted: 0, refused: 0 };
  const ask = (key: string, atMs: number, of: Partial<Ask> = {}) => {
    made.advance(START + atMs, (ok) => others[ok ? "admitted" : "refused"]++);
    const call = { model: MODEL, fallback: limits, tokens: 1, inputTokens: 1, key, ...of };
    return made.admit(call, START + atMs);
  };
  return { ask, others, headers: (atMs: number) => made.headers(MODEL, limits, START + atMs) };
}

const causeOf = (admission: ReturnType<ReturnType<typeof account>["ask"]>) => (admission.ok ? "in" : admission.cause);

describe("whose doing a refusal is", () => {
  it("alone, every refusal is our own", () => {
    const { ask } = account({ rpm: 2, tpm: 100 });
    expect(["a", "b", "c"].map((key) => causeOf(ask(key, 0)))).toEqual(["in", "in", "own"]);
  });

  it("what would have gone through without the others is theirs; what we send beyond that is ours", () => {
    const { ask, others } = account({ rpm: 10, tpm: 1e6 }, {}, [stream({ rpm: 40, until: START + 9_000 })]);
    const causes = Array.from({ length: 15 }, (_, n) => causeOf(ask(`k${n}`, 10_000)));
    expect(others.admitted).toBeGreaterThan(1);
    const admitted = causes.filter((cause) => cause === "in").length;
    expect(admitted).toBeLessThan(10);
    expect(causes.filter((cause) => cause === "foreign")).toHaveLength(10 - admitted);
    expect(causes.filter((cause) => cause === "own")).toHaveLength(5);
  });

  it("a call that the others kept out is not charged a second time when it comes again", () => {
    // Their one call has taken the only place.
    const { ask } = account({ rpm: 1, tpm: 1e6 }, {}, [stream({ rpm: 60_000, until: START + 100 })]);
    expect(causeOf(ask("a", 1_000))).toBe("foreign");
    expect(causeOf(ask("a", 2_000))).toBe("foreign");
    expect(causeOf(ask("b", 3_000))).toBe("own");
    expect(causeOf(ask("a", 61_000))).toBe("in");
  });

  it("the headers show what the others have left", () => {
    const { ask, headers } = account({ rpm: 1_000, tpm: 1e6 }, {}, [stream({ rpm: 300, tpm: 30_000, until: START + 60_000 })]);
    ask("a", 0);
    const before = Number(headers(0)["x-ratelimit-remaining-requests"]);
    ask("b", 3_000);
    expect(Number(headers(3_000)["x-ratelimit-remaining-requests"])).toBeLessThan(before + 3_000 / 60 - 5);
  });
});

describe("growth", () => {
  const growth = { above_tpm: 1_000_000, by: 0.5, per_seconds: 900 };
  const limits = { rpm: 1e9, tpm: 1e12 };
  /** How many calls of 10,000 input tokens get through in each minute. */
  function through(minutes: number, wanted: (minute: number) => number): number[] {
    const { ask } = account(limits, { growth });
    return Array.from({ length: minutes }, (_, minute) => {
      let admitted = 0;
      for (let n = 0; n < wanted(minute); n++) if (ask(`${minute}-${n}`, minute * MINUTE + n, { inputTokens: 10_000 }).ok) admitted++;
      return admitted;
    });
  }

  it("is free up to a million input tokens a minute, then half as much again every 15 minutes", () => {
    const seen = through(46, () => 400);
    expect([seen[0], seen[14], seen[15], seen[29], seen[30], seen[45]]).toEqual([100, 100, 150, 150, 225, 337]);
  });

  it("says slow_down, which is nobody else's doing", () => {
    const { ask } = account(limits, { growth });
    ask("a", 0, { inputTokens: 1_000_000 });
    expect(ask("b", 1, { inputTokens: 1 })).toMatchObject({
      ...{ ok: false, kind: "slow_down", cause: "own" },
      problem: { status: 429, error: { type: "rate_limit_error", code: "slow_down" } },
    });
  });

  it("traffic that keeps its height, or that comes back after a pause, passes", () => {
    const ramp = (minute: number) => (minute < 15 ? 100 : minute < 30 ? 150 : 225);
    const seen = through(60, (minute) => (minute >= 45 && minute < 50 ? 0 : ramp(minute)));
    expect(seen.every((admitted, minute) => admitted === (minute >= 45 && minute < 50 ? 0 : ramp(minute)))).toBe(true);
  });
});
