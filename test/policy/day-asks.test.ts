/** A day's limit that upstream reported and that is used up: only a call's answer can show that there is more again. */
import { describe, expect, it } from "vitest";
import type { Change } from "../../policy/bounds.ts";
import { correct, free, openBudget, readiness, reserve } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import type { LimitReading } from "../../schemas/rate.ts";
import { CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

const DAY_MS = 86_400_000;
const day = (limit: number, left: number): LimitReading => ({ limit, remaining: left, resetMs: ((limit - left) / limit) * DAY_MS });
const minute = (left: number): LimitReading => ({ limit: RPM, remaining: left, resetMs: ((RPM - left) / RPM) * 60_000 });

/** A pool whose answers report a limit of sixty requests a day, all of which it spends within six seconds. */
function usedUp({ rpd = null, most = rpd, tells = 60 }: { rpd?: number | null; most?: number | null; tells?: number } = {}) {
  const limits = { ...CONFIGURED, rpd };
  const budget = openBudget(limits);
  const bounds = { limits, most: { rpm: RPM, tpm: TPM, rpd: most } };
  const learned = new Learned(bounds, START - 10_000);
  const at = (seconds: number) => START + seconds * 1_000;
  const start = (seconds: number) => {
    reserve(budget, 10, at(seconds));
    learned.started(budget, 10, at(seconds));
  };
  const tell = (seconds: number, requests: LimitReading | null, sent = seconds - 0.05): Change[] =>
    learned.take({ pool: "p", job: "j", sentAt: at(sent), at: at(seconds), requests, tokens: null }, null, budget, at(seconds));
  start(-5);
  tell(-1, day(tells, tells - 1));
  for (let call = 1; call < 60; call++) start(call / 10);
  const askAt = (seconds: number) => (learned.readyAt(budget, 10, at(seconds)) - START) / 1_000;
  return { askAt, at, bounds, budget, learned, start, tell, left: (seconds: number) => free(budget, "rpd", at(seconds)) };
}

describe("a day's limit that is used up", () => {
  it("is asked for after twenty seconds, then at intervals that double up to ten minutes, as long as nothing is left", () => {
    const { askAt, at, budget, start, tell } = usedUp();
    expect(readiness(budget, 10, at(6)).limitedBy).toBe("rpd");
    const asked: number[] = [];
    for (let now = askAt(6); now < 4_000; now = askAt(now)) {
      asked.push(now);
      start(now);
      tell(now + 0.2, day(60, 0));
    }
    const gaps = asked.map((each, place) => Math.round(each - (asked[place - 1] ?? 5.9)));
    expect(gaps.slice(0, 6)).toEqual([20, 40, 80, 160, 320, 600]);
    expect(new Set(gaps.slice(6))).toEqual(new Set([600]));
  });

  it("those that still fit do not make it rarer, however little they leave; and where some fit again and again, hardly any is let go beyond them", () => {
    const { askAt, at, budget, start, tell } = usedUp();
    // Twice, an answer gives one request back.
    for (const seconds of [6, 6.1]) {
      correct(budget, "rpd", -1, at(seconds));
      start(seconds);
    }
    expect(askAt(7)).toBeCloseTo(26.1);
    let beyond = 0;
    // One more fits every ninety seconds.
    for (let seconds = 7, fits = 90; seconds < 7_200; seconds++) {
      if (seconds >= fits) correct(budget, "rpd", -1, at(seconds));
      else if (askAt(seconds) > seconds) continue;
      else beyond++;
      if (seconds >= fits) fits += 90;
      start(seconds);
      tell(seconds + 0.2, day(60, 0));
    }
    expect(beyond).toBeLessThan(6);
  });

  it("and is gone: the call that asks is told the minute's limit in its stead, and it holds no more", () => {
    const { askAt, budget, learned, start, tell } = usedUp();
    start(askAt(6));
    expect(tell(26.2, minute(599))).toEqual([{ resource: "rpd", from: 60, to: null }]);
    expect(budget.meters.map(({ resource }) => resource).sort()).toEqual(["rpm", "tpm"]);
    expect(learned.limits.rpd).toBeNull();
  });

  it("told by a call from before, that says nothing", () => {
    const { askAt, learned, start, tell } = usedUp();
    start(askAt(6));
    expect(tell(26.2, minute(599), 5)).toEqual([]);
    expect(learned.limits.rpd).toBe(60);
  });

  it("no headers any more, and the call that asks is taken -> it holds no more; one that was not asking shows nothing", () => {
    const { askAt, at, budget, learned, start } = usedUp();
    expect(learned.days.answered(budget, at(5.9))).toEqual([]);
    const asks = askAt(6);
    start(asks);
    expect(learned.days.answered(budget, at(asks))).toEqual([{ resource: "rpd", from: 60, to: null }]);
    expect(learned.days.answered(budget, at(asks))).toEqual([]);
  });

  it("once it was told that nothing is left, its end shows nothing more", () => {
    const { askAt, at, budget, learned, start, tell } = usedUp();
    const asks = askAt(6);
    start(asks);
    tell(asks + 0.2, day(60, 0));
    expect(learned.days.answered(budget, at(asks))).toEqual([]);
  });

  it("and a new day has begun: what is left of it is free", () => {
    const { askAt, left, start, tell } = usedUp();
    start(askAt(6));
    tell(26.2, day(60, 59));
    expect(left(26.2)).toBeGreaterThan(57);
    expect(left(26.2)).toBeLessThanOrEqual(59);
  });

  it("the last ones that used it up, all under way together, are not taken for a new day", () => {
    const { left, tell } = usedUp();
    tell(6.1, day(60, 9), 5.95);
    expect(left(6.1)).toBeLessThan(1);
  });

  it("and is raised: by steps, each of which lets calls go", () => {
    const { askAt, left, start, tell } = usedUp();
    start(askAt(6));
    expect(tell(26.2, day(1_000, 939))).toEqual([{ resource: "rpd", from: 60, to: 75 }]);
    expect(left(26.2)).toBeGreaterThan(13);
  });

  it("by others, as it is told for the first time: it is asked for in twenty seconds, not at once", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    const at = START + 1_000;
    learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests: day(60, 0), tokens: null }, null, budget, at);
    expect(learned.readyAt(budget, 10, at)).toBe(at + 20_000);
  });

  it("that is the operator's: nothing is let go beyond it", () => {
    const { askAt, at, budget } = usedUp({ rpd: 60, tells: 60 });
    expect(at(askAt(6))).toBe(readiness(budget, 10, at(6)).at);
    expect(usedUp({ rpd: 1_000 }).askAt(6)).toBeCloseTo(25.9);
  });

  it("what else keeps the pool keeps the call that asks", () => {
    const { askAt, at, budget } = usedUp();
    budget.heldUntil = at(100);
    expect(askAt(6)).toBe(100);
  });

  it("of tokens: what was asked and refused is no debt, and what is left is believed only where the operator says that tokens come back", () => {
    const told = (left: number): LimitReading => ({
      limit: 1_000_000,
      remaining: left,
      resetMs: ((1_000_000 - left) / 1_000_000) * DAY_MS,
    });
    for (const refund of [false, true]) {
      const budget = openBudget(CONFIGURED);
      const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM }, refund }, START);
      const tell = (now: number, left: number) =>
        learned.take({ pool: "p", job: "j", sentAt: now - 50, at: now, requests: null, tokens: told(left) }, null, budget, now);
      tell(START + 100, 1_000);
      for (let now = learned.readyAt(budget, 50_000, START + 60_000); now < START + 7_200_000; now = learned.readyAt(budget, 50_000, now)) {
        reserve(budget, 50_000, now);
        learned.started(budget, 50_000, now);
        tell(now + 200, 0);
      }
      // Only the last asking call is owed: within two hours that has refilled, and more.
      const later = START + 7_200_000;
      expect(free(budget, "tpd", later)).toBe(0);
      expect(free(budget, "tpd", later + 7_200_000)).toBeGreaterThan(20_000);
      const asks = learned.readyAt(budget, 500_000, later + 7_200_000);
      reserve(budget, 500_000, asks);
      learned.started(budget, 500_000, asks);
      tell(asks + 200, 990_000);
      if (refund) expect(free(budget, "tpd", asks + 200)).toBeGreaterThan(480_000);
      else expect(free(budget, "tpd", asks + 200)).toBeLessThan(1_000);
    }
  });

  it("after a restart it goes on asking where it was, and not anew", () => {
    const { askAt, at, bounds, budget, learned, start, tell } = usedUp();
    for (let n = 0; n < 3; n++) {
      const asks = askAt(6);
      start(asks);
      expect(learned.isNotable).toBe(true);
      tell(asks + 0.2, day(60, 0));
      learned.record();
    }
    expect(learned.isNotable).toBe(false);
    const woken = new Learned(bounds, at(150));
    woken.restore(learned.record(), budget, at(150));
    expect(woken.readyAt(budget, 10, at(150))).toBeCloseTo(at(5.9 + 20 + 40 + 80 + 160), -2);
  });
});
