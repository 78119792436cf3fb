/** Small calls that were let go and never made, while headers bring much back: what upstream counts is never believed to be free. */
import { expect, it } from "vitest";
import { openBudget, refund, reserve, used } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import { CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

const BIG = TPM / 2;
const LATER = TPM / 3;
const SMALL = 100;

/**
 * A large call's tokens come back upstream at once. `small` calls that were let go soon after it are never made. Later another call, of a third of the limit,
 * is made.
 */
function play(small: number): { ours: number; theirs: number }[] {
  const budget = openBudget(CONFIGURED);
  const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM }, refund: true }, START);
  const begin = (tokens: number, now: number) => {
    const reservation = reserve(budget, tokens, now);
    learned.started(budget, tokens, now);
    return reservation;
  };
  begin(BIG, START);
  const calls = Array.from({ length: small }, () => begin(SMALL, START + 1_000));
  const seen: { ours: number; theirs: number }[] = [];
  let laterAt = Number.POSITIVE_INFINITY;
  for (let second = 2; second <= 20; second++) {
    const now = START + second * 1_000;
    if (second === 8) for (const call of calls) refund(budget, call, now, learned.unmade(call));
    if (second === 9) {
      laterAt = now;
      begin(LATER, now);
    }
    const counted = Math.max(0, laterAt <= now ? LATER - ((now - laterAt) * TPM) / 60_000 : 0);
    const tokens = { limit: TPM, remaining: TPM - Math.ceil(counted), resetMs: (counted / TPM) * 60_000 };
    learned.take({ pool: "p", job: "j", sentAt: now - 50, at: now, requests: null, tokens }, null, budget, now);
    if (second >= 9) seen.push({ ours: used(budget, "tpm", now), theirs: counted });
  }
  return seen;
}

it.each([0, 1, 20])("%i of them -> what upstream counts stays spent here", (small) => {
  for (const { ours, theirs } of play(small)) expect(ours).toBeGreaterThanOrEqual(theirs - TPM / 100);
});
