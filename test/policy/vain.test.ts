import { describe, expect, it } from "vitest";
import { again, clearedAt, isHopeless, readyAt, start, type Vain } from "../../policy/vain.ts";

const NOW = 1_780_000_000_000;
const failing = (times: number): Vain => {
  let vain = again(undefined, NOW);
  for (let n = 1; n < times; n++) vain = again(vain, NOW);
  return vain;
};

describe("calls that came to nothing", () => {
  it("nineteen in a row -> the tenant's next are let go as ever; twenty -> one in a while", () => {
    expect([undefined, failing(1), failing(19), failing(20), failing(500)].map(isHopeless)).toEqual([false, false, false, true, true]);
    expect(readyAt(start(failing(19), 1_000, NOW), NOW)).toBe(NOW);
    expect(readyAt(failing(20), NOW)).toBe(NOW);
    expect(readyAt(start(failing(20), 1_000, NOW), NOW + 1)).toBe(NOW + 10_000);
    expect(readyAt(start(failing(20), 1_000, NOW), NOW + 10_001)).toBe(NOW + 10_001);
  });

  it.each([
    ["a second at the least, however fast the pool", 1, 1_000],
    ["a tenth of the pool", 1_500, 15_000],
    ["ten minutes at the most, however large the job", 90_000, 600_000],
  ])("%s", (_, costMs, interval) => {
    expect(readyAt(start(failing(20), costMs, NOW), NOW)).toBe(NOW + interval);
  });

  it("so many more are let go one interval after the other, from when the next may be", () => {
    const waiting = start(failing(20), 1_000, NOW);
    expect([1, 2, 5].map((calls) => clearedAt(waiting, calls, 1_000, NOW + 4_000))).toEqual([NOW + 10_000, NOW + 20_000, NOW + 50_000]);
    expect(clearedAt(waiting, 3, 100_000, NOW + 60_000)).toBe(NOW + 60_000 + 2 * 600_000);
  });

  it("another that comes to nothing moves the next neither nearer nor away", () => {
    const waiting = start(failing(20), 1_000, NOW);
    expect(readyAt(again(waiting, NOW + 5_000), NOW + 5_000)).toBe(NOW + 10_000);
  });
});
