/** Tokens per day that calls reserved and did not use, when upstream's headers report the day's limit. */
import { describe, expect, it } from "vitest";
import { openBudget, type Reservation, refund, reserve, used } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import { CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

const DAY_MS = 86_400_000;
const TPD = 5_000_000;
const RESERVED = 200_000;

/** Tolerates what the day's limit refills in the meantime: a few hundred tokens. */
const near = (tokens: number) => (spent: number) => Math.abs(spent - tokens) < 5_000;

/** A pool with a limit per day, and `calls` calls of `RESERVED` tokens at the start. */
function open({ refunds = true, more = {} as object, calls = 1 } = {}) {
  const limits = { ...CONFIGURED, tpd: TPD, ...more };
  const budget = openBudget(limits);
  const learned = new Learned({ limits, most: { rpm: RPM, tpm: TPM }, refund: refunds }, START);
  const begin = (seconds: number, tokens = RESERVED): Reservation => {
    const now = START + seconds * 1_000;
    const reservation = reserve(budget, tokens, now);
    learned.started(budget, tokens, now);
    return reservation;
  };
  for (let call = 0; call < calls; call++) begin(0);
  /** Hears an answer that was computed at `seconds`, when `counted` tokens of the day were spent. Returns what counts as spent after that. */
  const tell = (seconds: number, counted: number, heard = seconds, project?: { limit: number; counted: number }): number => {
    const [at, now] = [START + seconds * 1_000, START + heard * 1_000];
    const of = (limit: number, spent: number) => ({ limit, remaining: limit - spent, resetMs: (spent / limit) * DAY_MS });
    const tokens = { tokens: of(TPD, counted), ...(project && { projectTokens: of(project.limit, project.counted) }) };
    learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests: null, ...tokens }, null, budget, now);
    return spent(heard);
  };
  const spent = (seconds: number) => used(budget, "tpd", START + seconds * 1_000);
  return { begin, budget, learned, spent, tell };
}

describe("tokens of a day that upstream counts no more", () => {
  it("half of them may be spent again with each answer that shows it", () => {
    const { tell } = open();
    expect(tell(10, 40_000)).toSatisfy(near(RESERVED - 80_000));
    expect(tell(12, 40_000)).toSatisfy(near(RESERVED - 120_000));
    for (let second = 14; second < 60; second += 2) tell(second, 40_000);
    expect(tell(60, 40_000)).toSatisfy(near(40_000));
  });

  it("a day of calls that use a fifth of what they reserve lets nearly five times as many through", () => {
    const { begin, spent, tell } = open({ calls: 0 });
    let counted = 0;
    let calls = 0;
    for (let second = 0; second < 2_000 && spent(second) < TPD - 10_000; second++, calls++) {
      begin(second, 10_000);
      counted += 2_000;
      tell(second + 0.9, counted);
    }
    expect(calls).toBeGreaterThan((TPD / 10_000) * 3.5);
  });

  it("unless the operator wants it, or for a minute after a refusal, or where upstream counts in windows, nothing is", () => {
    for (const pool of [open({ refunds: false }), open({ more: { windowSeconds: 60 } })])
      expect(pool.tell(10, 40_000)).toSatisfy(near(RESERVED));
    const refused = open();
    refused.learned.refused(1, START + 5_000);
    expect(refused.tell(10, 40_000)).toSatisfy(near(RESERVED));
    expect(refused.tell(66, 40_000)).toSatisfy(near(RESERVED - 80_000));
  });

  it("what had not arrived when upstream reckoned is not taken for them, nor what left since", () => {
    const { begin, tell } = open();
    begin(9.5, 100_000);
    begin(11, 100_000);
    expect(tell(10, RESERVED, 12)).toSatisfy(near(RESERVED + 200_000));
  });

  it("what others spent is taken at once, and what came back of theirs is believed by half as well", () => {
    const { tell } = open();
    expect(tell(10, 1_000_000)).toSatisfy(near(1_000_000));
    expect(tell(12, 900_000)).toSatisfy(near(950_000));
    expect(tell(14, 1_000_000)).toSatisfy(near(1_000_000));
  });

  it("of two names for them the scarcer decides", () => {
    const { tell } = open();
    expect(tell(10, 40_000, 10, { limit: 2 * TPD, counted: RESERVED })).toSatisfy(near(RESERVED));
  });

  it("an operator who resumes is given none of what our calls spent", () => {
    const { learned, budget, spent, tell } = open();
    tell(10, 1_000_000);
    for (let second = 12; second < 40; second += 2) tell(second, 40_000);
    learned.reset(budget, START + 40_000);
    expect(spent(40)).toBeGreaterThan(39_000);
  });

  it("after a restart, too", () => {
    const first = open();
    first.tell(10, 1_000_000);
    first.learned.record();
    for (let second = 12; second < 40; second += 2) first.tell(second, 40_000);
    expect(first.learned.isNotable).toBe(true);
    const woken = new Learned({ limits: { ...CONFIGURED, tpd: TPD }, most: { rpm: RPM, tpm: TPM }, refund: true }, START + 41_000);
    woken.restore(first.learned.record(), first.budget, START + 41_000);
    woken.reset(first.budget, START + 41_000);
    expect(first.spent(41)).toBeGreaterThan(39_000);
  });

  it("a call that was never made comes back once: as headers show it, where they tell the day, and else at once", () => {
    const [told, silent] = [open(), open()];
    const calls = [told, silent].map(({ begin }) => begin(1, 100_000));
    for (let second = 4; second < 8; second++) told.tell(second, RESERVED);
    for (const [index, { budget, learned }] of [told, silent].entries())
      refund(budget, calls[index]!, START + 8_000, learned.unmade(calls[index]!));
    expect(silent.spent(8)).toSatisfy(near(RESERVED));
    expect(told.spent(8)).toBeGreaterThanOrEqual(RESERVED - 1_000);
    for (let second = 9; second < 30; second++) told.tell(second, RESERVED);
    expect(told.spent(30)).toSatisfy(near(RESERVED));
    expect(told.spent(30)).toBeGreaterThanOrEqual(RESERVED - 2_000);
  });
});
