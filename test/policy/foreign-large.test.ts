/** What others spend in tokens when our own jobs are large: few of ours fall between two answers, and one too many is as much as others spend. */
import { describe, expect, it } from "vitest";
import { Foreign } from "../../policy/foreign.ts";
import { play } from "./account.ts";
import { START } from "./intervals.ts";

const sizes = [5_000, 10_000, 20_000, 30_000, 60_000];
const mean = (all: number[]) => all.reduce((sum, each) => sum + each, 0) / all.length;

it.each(sizes)(
  "jobs of %i tokens, others spend three tenths of the account from the tenth minute on: it is seen, and few of ours fail",
  (tokens) => {
    const world = { minutes: 20, tokens, theirTokens: 5_000, others: (minute: number) => (minute > 10 ? 36 : 0) };
    const { foreignTokens, refused } = play(world);
    expect(Math.max(...foreignTokens.slice(0, 10))).toBe(0);
    expect(mean(foreignTokens.slice(13))).toBeGreaterThan(60_000);
    expect(mean(foreignTokens.slice(13))).toBeLessThan(220_000);
    expect(refused).toBeLessThan(play({ ...world, learns: false }).refused / 3);
  },
);

// Law: what upstream reports because of our own calls is not taken for others' use.
it.each(sizes)("jobs of %i tokens, alone on the account: nobody else is seen, and nothing is lost", (tokens) => {
  for (const [jitterMs, staleMs] of [[20, 200] as const, [250, 2_000] as const]) {
    const { foreignTokens, ours, refused } = play({ minutes: 8, tokens, jitterMs, staleMs });
    expect(Math.max(...foreignTokens)).toBe(0);
    expect(refused).toBe(0);
    expect(ours * tokens).toBeGreaterThan(600_000 * 8.8);
  }
});

describe("the call whose answer tells", () => {
  const LIMIT = 600_000;
  const CALL = { at: START - 200, amount: 60_000 };

  /** Every ten seconds we make a call of 60,000 tokens and others spend 20,000. `turnedAway`: ours are refused, and upstream does not count them. */
  function pace(turnedAway: boolean): number {
    const foreign = new Foreign();
    const came = turnedAway ? 20_000 : 80_000;
    let [refused, used] = [0, 400_000];
    for (let n = 0; n < 6; n++, used += came - 100_000) {
      const at = START + n * 10_000;
      [foreign.limit, foreign.heardAt] = [LIMIT, at];
      const call = { ...CALL, at: at - 200 };
      foreign.observe({ limit: LIMIT, remaining: LIMIT - used, resetMs: (used / LIMIT) * 60_000 }, at, call, refused, 200, (_, of) => ({
        ...{ least: 60_000, most: 120_000 },
        known: of!.amount,
      }));
      if (turnedAway) refused += CALL.amount;
    }
    return foreign.pace(START + 50_000);
  }

  it("was there before: it is not counted as having come since", () => {
    expect(pace(false)).toBeGreaterThan(100_000);
    expect(pace(false)).toBeLessThanOrEqual(120_000);
  });

  it("others have stopped, and nothing is turned away any more -> nobody is seen", () => {
    const world = { minutes: 20, tokens: 60_000, theirTokens: 5_000, others: (minute: number) => (minute > 3 && minute < 12 ? 36 : 0) };
    const { foreignTokens } = play(world);
    expect(Math.min(...foreignTokens.slice(6, 11))).toBeGreaterThan(60_000);
    expect(Math.max(...foreignTokens.slice(15))).toBe(0);
  });

  it("was turned away: others are not thought to have spent more than they did", () => {
    expect(pace(true)).toBeLessThanOrEqual(120_000);
  });
});
