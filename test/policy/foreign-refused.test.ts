import { describe, expect, it } from "vitest";
import { openBudget, readiness, reserve } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import { Account, CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

/** Every second call of ours is refused for a reason that no header shows. `counted`: the account counts it all the same. */
function seen({ counted, others, rate }: { counted: boolean; others: number; rate: boolean }): number[] {
  const budget = openBudget(CONFIGURED);
  const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
  const account = new Account(RPM, TPM);
  // Nearly used up at first, so that the bucket is not full before the end: once it is full, nobody can tell how much came back.
  for (let call = 0; call < RPM * 0.9; call++) account.theirs(10, START);
  const paces: number[] = [];
  let calls = 0;
  let due = START;
  for (let now = START; now < START + 80_000; now += 125) {
    for (; others > 0 && due <= now; due += 60_000 / others) account.theirs(10, now);
    if (readiness(budget, 10, now).at > now) continue;
    reserve(budget, 10, now);
    learned.started(budget, 10, now);
    const turnedAway = calls++ % 2 === 0;
    if (counted || !turnedAway) account.call(10, now);
    if (turnedAway && rate) learned.refused(10, now);
    else if (turnedAway) learned.turnedAway(10);
    learned.take({ pool: "p", job: "j", sentAt: now, at: now, ...account.headers(now) }, { at: now, tokens: 10 }, budget, now);
    if (now >= START + 45_000) paces.push(learned.others(now).requests);
  }
  return paces;
}

describe.each([true, false])("half of our calls are turned away (for the rate: %s)", (rate) => {
  it("nobody else is there, and upstream counts what it turns away: nobody is seen", () => {
    expect(Math.max(...seen({ counted: true, others: 0, rate }))).toBe(0);
  });

  it("nobody else is there, and upstream does not count them: nobody is seen", () => {
    expect(Math.max(...seen({ counted: false, others: 0, rate }))).toBe(0);
  });

  it("others are seen where upstream counts what it turns away", () => {
    expect(Math.min(...seen({ counted: true, others: 120, rate }))).toBeGreaterThan(80);
  });

  it("others are seen where it does not", () => {
    expect(Math.max(...seen({ counted: false, others: 120, rate }))).toBeLessThan(160);
    expect(Math.min(...seen({ counted: false, others: 120, rate }))).toBeGreaterThan(80);
  });
});
