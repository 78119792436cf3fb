import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ENOUGH, expectedOutput, noteOutput, type Outputs, reserveOpen } from "../../policy/outputs.ts";

const all = (tokens: readonly number[]) => tokens.reduce<Outputs>(noteOutput, []);
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

/** Reproducible numbers in [0, 1). */
function numbers(count: number): number[] {
  let state = 7;
  return Array.from({ length: count }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  });
}

describe("what an answer without bound is expected to take", () => {
  it("is not known before twenty answers", () => {
    expect(expectedOutput(all(upTo(ENOUGH - 1)))).toBe(null);
    expect(expectedOutput(all(upTo(ENOUGH)))).toBe(19);
  });

  it("is what nine of ten of the last hundred did not exceed", () => {
    expect(expectedOutput(all(upTo(100)))).toBe(91);
    expect(expectedOutput(all([...Array(500).fill(100_000), ...upTo(100)]))).toBe(91);
  });

  // Law of the conformal bound: for exchangeable answers, the next one is within it at least nine times out of ten, and not much more often.
  it.each([
    ["even", (u: number) => Math.ceil(u * 1_000)],
    ["heavy-tailed", (u: number) => Math.ceil(50 / (1 - u) ** 1.5)],
    ["of two kinds", (u: number) => (u < 0.85 ? 10 : 8_000)],
  ])("is enough for nine of ten answers: %s lengths", (_, lengthOf) => {
    let outputs: Outputs = [];
    let [enough, count] = [0, 0];
    for (const length of numbers(20_000).map(lengthOf)) {
      const expected = expectedOutput(outputs);
      if (expected !== null) count++;
      if (expected !== null && length <= expected) enough++;
      outputs = noteOutput(outputs, length);
    }
    expect(enough / count).toBeGreaterThanOrEqual(0.895);
    if (_ !== "of two kinds") expect(enough / count).toBeLessThanOrEqual(0.92);
  });
});

describe("a reservation", () => {
  it("swaps what the answer was allowed for what is expected, for each choice", () => {
    expect(reserveOpen(1_100, { choices: 1, each: 1_000 }, 300, 1e6)).toBe(400);
    expect(reserveOpen(2_100, { choices: 2, each: 1_000 }, 4_000, 1e6)).toBe(8_100);
  });

  it("is never made larger than can be reserved at all, nor less than one token", () => {
    const count = fc.integer({ min: 1, max: 200_000 });
    fc.assert(
      fc.property(count, count, count, count, fc.integer({ min: 1, max: 8 }), (prompt, each, expected, whole, choices) => {
        const tokens = prompt + choices * each;
        const reserved = reserveOpen(tokens, { choices, each }, expected, whole + 0.5);
        expect(Number.isInteger(reserved) && reserved >= 1).toBe(true);
        expect(reserved).toBeLessThanOrEqual(Math.max(tokens, whole));
        if (prompt + choices * expected <= whole) expect(reserved).toBe(prompt + choices * expected);
      }),
    );
  });
});
