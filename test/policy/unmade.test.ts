/** Calls that were let go and never made: what headers teach meanwhile gives nothing back a second time. */
import { describe, expect, it } from "vitest";
import { openBudget, type Reservation, refund, reserve, used } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import { CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

const MADE = 300_000;
const UNMADE = 120_000;
const DAY_MS = 86_400_000;
/** What refills in a second. */
const SECOND = TPM / 60;

/**
 * `heard`: when answers are heard (s), each `lateSeconds` late. `letGo`, `unmade`: when the second call starts and when it is given back (s); without `unmade`
 * there is no second call.
 */
type Told = { heard: number[]; lateSeconds?: number; letGo?: number; unmade?: number; refunds?: boolean; day?: boolean; theirs?: number };

/** One call is made at the start, a second one never is. Answers report what upstream counts: the first call, and what others spend each second. */
function play({ heard, lateSeconds = 0, letGo = 0, unmade, refunds = true, day = false, theirs = 0 }: Told) {
  const limit = day ? TPM * 20 : TPM;
  const wholeMs = day ? DAY_MS : 60_000;
  const limits = day ? { ...CONFIGURED, rpm: RPM, tpm: TPM, tpd: limit } : CONFIGURED;
  const budget = openBudget(limits);
  const learned = new Learned({ limits, most: { rpm: RPM, tpm: TPM }, refund: refunds }, START);
  const begin = (tokens: number, now: number) => {
    const reservation = reserve(budget, tokens, now);
    learned.started(budget, tokens, now);
    return reservation;
  };
  begin(MADE, START);
  let call: Reservation | null = null;
  const spent: number[] = [];
  for (let second = 0; second <= 30; second++) {
    const now = START + second * 1_000;
    if (unmade !== undefined && second === letGo) call = begin(UNMADE, now);
    if (call && second === unmade) refund(budget, call, now, learned.unmade(call));
    if (heard.includes(second)) {
      const at = now - lateSeconds * 1_000;
      const elapsed = at - START;
      const counted = Math.max(0, MADE + (theirs * elapsed) / 1_000 - (elapsed * limit) / wholeMs);
      const tokens = { limit, remaining: limit - Math.round(counted), resetMs: (counted / limit) * wholeMs };
      learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests: null, tokens }, null, budget, now);
    }
    spent.push(used(budget, day ? "tpd" : "tpm", now));
  }
  return { spent, others: learned.others(START + 30_000).tokens };
}

describe.each([true, false])("a call that was never made, with learn.refund %s", (refunds) => {
  it.each([
    ["told before", 6, [3]],
    ["told often before", 8, [2, 3, 4, 5, 6, 7]],
    ["told after", 2, [3]],
    ["told in the second that it is given back", 5, [5]],
    ["told often, before and after", 6, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
  ])("%s -> its reservation comes back, once", (_, unmade, heard) => {
    const without = play({ heard, refunds }).spent;
    const { spent } = play({ heard, unmade, refunds });
    for (const [index, each] of spent.entries()) expect(each).toBeGreaterThanOrEqual(without[index]! - 1e-6);
    // For what refilled since the call was let go, nobody knows whether a bucket left alone would have had room.
    expect(spent.at(-1)! - without.at(-1)!).toBeLessThanOrEqual(unmade * SECOND);
  });

  it("told of a day as it was before, and heard after -> nothing of the day is lost", () => {
    const late = { heard: [10], lateSeconds: 7, refunds, day: true };
    const { spent } = play({ ...late, letGo: 5, unmade: 8 });
    expect(spent.at(-1)! - play(late).spent.at(-1)!).toBeLessThan(SECOND);
  });

  it("no headers -> all of it comes back: the bucket was never full, so no refill was lost", () => {
    expect(play({ heard: [], unmade: 1, refunds }).spent[1]).toBeCloseTo(MADE - SECOND, 6);
  });
});

it("it hides nothing of what others spend, nor is it taken for theirs", () => {
  const told = { heard: [1, 7, 13, 19, 25], refunds: false };
  for (const theirs of [0, 5_000]) {
    const [with_, without] = [{ letGo: 3, unmade: 5 }, {}].map((call) => play({ ...told, ...call, theirs }).others);
    expect(with_).toBeCloseTo(without!, 0);
  }
});
