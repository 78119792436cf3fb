import { describe, expect, it } from "vitest";
import { free, openBudget, readiness, refund, reserve, used } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import { nextRecord, restore } from "../../policy/ledger.ts";
import { CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

/** A pool that spent `calls` of a minute's requests at once, after which its limit is cut in half. */
function cut(calls: number, more: object = {}) {
  const limits = { ...CONFIGURED, ...more };
  const budget = openBudget(limits);
  const learned = new Learned({ limits, most: { rpm: RPM, tpm: TPM } }, START);
  const at = (seconds: number) => START + seconds * 1_000;
  const start = (seconds: number) => {
    const reservation = reserve(budget, 10, at(seconds));
    learned.started(budget, 10, at(seconds));
    return reservation;
  };
  const tell = (seconds: number, remaining: number, sent = seconds - 0.05) => {
    const requests = { limit: RPM / 2, remaining, resetMs: ((RPM / 2 - remaining) / (RPM / 2)) * 60_000 };
    learned.take({ pool: "p", job: "j", sentAt: at(sent), at: at(seconds), requests, tokens: null }, null, budget, at(seconds));
  };
  const first = Array.from({ length: calls }, () => start(0));
  tell(0.1, 0);
  const readyAt = (seconds: number) => (learned.readyAt(budget, 10, at(seconds)) - START) / 1_000;
  const fitsAt = (seconds: number) => (readiness(budget, 10, at(seconds)).at - START) / 1_000;
  return { at, budget, first, fitsAt, learned, readyAt, start, tell };
}

describe("what a lowered limit may owe", () => {
  it("is asked for two seconds after the cut, then six later, then eighteen", () => {
    const { fitsAt, readyAt, start } = cut(590);
    expect(fitsAt(1)).toBeGreaterThan(50);
    const asked: number[] = [];
    for (let now = readyAt(1); asked.length < 3; now = readyAt(now)) {
      asked.push(now);
      start(now);
    }
    expect(asked).toEqual([2.1, 8.1, 26.1]);
  });

  it("is not asked for where the limit of before is not spent, or a moment pays it off; nor where upstream is known to count in windows", () => {
    for (const pool of [cut(100), cut(301), cut(590, { windowSeconds: 60 })]) expect(pool.readyAt(1)).toBe(pool.fitsAt(1));
  });

  it("is not asked for after a restart with windows, which remember what they owe", () => {
    const before = cut(590);
    const record = nextRecord(before.budget, null, before.at(1))!;
    const limits = { ...CONFIGURED, windowSeconds: 60 };
    const budget = openBudget(limits);
    const learned = new Learned({ limits, most: { rpm: RPM, tpm: TPM } }, before.at(1));
    learned.restore(before.learned.record(), budget, before.at(1));
    restore(budget, record, before.at(1));
    const fitsAt = readiness(budget, 10, before.at(1)).at;
    expect(fitsAt).toBeGreaterThan(before.at(20));
    expect(learned.readyAt(budget, 10, before.at(1))).toBe(fitsAt);
  });

  it("is paid off -> nothing goes to see any more", () => {
    const { fitsAt, readyAt, start } = cut(590);
    start(fitsAt(1));
    for (let call = 0; call < 400; call++) start(100);
    expect(readyAt(100)).toBe(fitsAt(100));
    expect(readyAt(100)).toBeGreaterThan(110);
  });

  it("a call that was let go since the first that went to see is taken -> as much is spent as the limit allows at once, and what headers told before does not count against it again", () => {
    const { at, budget, fitsAt, learned, start, tell } = cut(590);
    start(2.1);
    learned.taken(at(2.05), budget, at(2.5));
    expect(used(budget, "rpm", at(2.5))).toBeGreaterThan(500);
    learned.taken(at(2.1), budget, at(2.5));
    expect(fitsAt(2.5)).toBeCloseTo(2.5 + 60 / (RPM / 2), 6);
    tell(2.6, 0, 2.15);
    expect(fitsAt(2.6)).toBeLessThan(4);
  });

  it("is another after another cut: a call that was let go before that, and is taken, says nothing of it", () => {
    const { at, budget, fitsAt, learned, readyAt, start, tell } = cut(590);
    start(2.1);
    learned.taken(at(2.1), budget, at(2.5));
    learned.reset(budget, at(70));
    for (let call = 0; call < 590; call++) start(80);
    tell(80.1, 0);
    learned.taken(at(80), budget, at(80.5));
    expect(fitsAt(81)).toBeGreaterThan(130);
    expect(readyAt(81)).toBeCloseTo(82.1, 6);
    start(82.1);
    learned.taken(at(82.1), budget, at(82.5));
    expect(fitsAt(82.5)).toBeLessThan(83);
  });

  it("a call of before that turns out never to have been made is not given back twice", () => {
    const { at, budget, first, learned, start } = cut(590);
    start(2.1);
    learned.taken(at(2.1), budget, at(2.5));
    const before = free(budget, "rpm", at(2.5));
    refund(budget, first[0]!, at(2.5), learned.unmade(first[0]!));
    expect(free(budget, "rpm", at(2.5))).toBe(before);
  });

  it("is not asked for by a call that is larger than the limit allows, nor before a bucket that was empty at the cut would hold it: it would be refused anyhow", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    reserve(budget, TPM, START);
    learned.started(budget, TPM, START);
    const at = START + 1_000;
    const tokens = { limit: TPM / 2, remaining: 0, resetMs: 60_000 };
    learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests: null, tokens }, null, budget, at);
    expect(learned.readyAt(budget, TPM / 60, at)).toBe(at + 2_000);
    expect(learned.readyAt(budget, TPM / 10, at)).toBeCloseTo(at + 12_000, 3);
    expect(learned.readyAt(budget, TPM / 2, at)).toBeCloseTo(at + 60_000, 3);
    expect(learned.readyAt(budget, TPM / 2 + 1, at)).toBe(readiness(budget, TPM / 2 + 1, at).at);
  });

  it("an operator knows better", () => {
    const { at, budget, learned, readyAt, fitsAt } = cut(590);
    learned.reset(budget, at(1));
    expect(readyAt(1)).toBe(fitsAt(1));
  });
});
