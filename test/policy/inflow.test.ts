import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { came, type Inflow, inflowAt, STILL } from "../../policy/inflow.ts";
import { START } from "./intervals.ts";

/** One job every `everyMs`, for `lengthMs`. */
function steady(everyMs: number, lengthMs: number): Inflow {
  let inflow = STILL;
  for (let at = 0; at < lengthMs; at += everyMs) inflow = came(inflow, START + at);
  return inflow;
}

describe("how fast jobs come", () => {
  it.each([30_000, 120_000, 900_000])("is what it is, whether they came for %i ms or longer", (lengthMs) => {
    expect(inflowAt(steady(40, lengthMs), START, START + lengthMs) * 40).toBeCloseTo(1, 1);
  });

  it("is believed little before there was time to look", () => {
    expect(inflowAt(steady(40, 2_000), START, START + 2_000) * 40).toBeLessThan(0.2);
  });

  it("of ten thousand that come at once is next to nothing: they wait, and no more come", () => {
    let inflow = STILL;
    for (let job = 0; job < 10_000; job++) inflow = came(inflow, START);
    expect(inflowAt(inflow, START, START + 60_000) * 60_000).toBeLessThan(8);
  });

  it("of a heap that is sent one by one within a second is next to nothing as well", () => {
    expect(inflowAt(steady(10, 1_000), START, START + 1_000) * 60_000).toBeLessThan(20);
  });

  it("is forgotten when no more come", () => {
    expect(inflowAt(steady(40, 300_000), START, START + 1_200_000) * 40).toBeLessThan(0.01);
  });

  it("bears a clock that steps back", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }), { minLength: 1 }),
        fc.integer({ max: 1_000_000 }),
        (steps, later) => {
          const inflow = steps.reduce((before, step) => came(before, START + step), STILL);
          const rate = inflowAt(inflow, START, START + later);
          expect(rate).toBeGreaterThanOrEqual(0);
          expect(rate).toBeLessThanOrEqual(steps.length);
        },
      ),
    );
  });
});
