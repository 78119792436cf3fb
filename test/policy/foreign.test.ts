import { describe, expect, it } from "vitest";
import { Foreign } from "../../policy/foreign.ts";
import { START } from "./intervals.ts";

const LIMIT = 600;
const NONE = { least: 0, most: 0, known: 0 };

/** Reports every ten seconds how much of the bucket is used; none of it is ours. */
function tell(foreign: Foreign, used: readonly number[], from = START): void {
  for (const [index, each] of used.entries()) {
    const at = from + index * 10_000;
    [foreign.limit, foreign.heardAt] = [LIMIT, at];
    foreign.observe({ limit: LIMIT, remaining: LIMIT - each, resetMs: each * 100 }, at, null, 0, 0, () => NONE);
  }
}

describe("what others spend", () => {
  it("is what a bucket lost beyond what refilled", () => {
    const foreign = new Foreign();
    // 300 a minute are spent, and 600 refill.
    tell(foreign, [500, 450, 400, 350, 300, 250, 200, 150]);
    expect(foreign.pace(START + 70_000)).toBeGreaterThan(270);
    expect(foreign.left(START + 70_000)).toBeLessThan(330);
  });

  it("is seen as fast after a time when the bucket filled up unseen as at the beginning", () => {
    const [quiet, fresh] = [new Foreign(), new Foreign()];
    tell(quiet, [600, 0]);
    const from = START + 20_000;
    for (const foreign of [quiet, fresh]) tell(foreign, [300, 250, 200], from);
    expect(quiet.pace(from + 20_000)).toBeGreaterThanOrEqual(fresh.pace(from + 20_000));
  });

  it("is not measured between two limits", () => {
    const foreign = new Foreign();
    tell(foreign, [100]);
    foreign.observe({ limit: LIMIT * 2, remaining: LIMIT, resetMs: 30_000 }, START + 10_000, null, 0, 0, () => NONE);
    expect(foreign.pace(START + 10_000)).toBe(0);
  });
});
