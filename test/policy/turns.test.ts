import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Other, startsUntil } from "../../policy/turns.ts";

const other = (fair: number, waiting: number, inflow: number): Other => ({ fair, waiting, inflow });

describe("what a pool starts before a job", () => {
  it("is its flow's own, where nobody else is", () => {
    expect(startsUntil(100, [])).toBe(100);
  });

  it("is of others what waits, but no more than their turns", () => {
    expect(startsUntil(100, [other(100, 30, 0), other(100, 5_000, 0)])).toBe(230);
  });

  it("is twice its flow's own beside others that take half of the pool and never wait", () => {
    expect(startsUntil(100, [other(100, 0, 0.3), other(100, 0, 0.2)])).toBeCloseTo(200, 0);
  });

  it("is no more of one to whom more comes than it may start", () => {
    expect(startsUntil(100, [other(100, 0, 0.9)])).toBeCloseTo(200, 0);
  });

  // Law: it is a fixed point: the flow's own starts, plus from each other flow what waits and what comes in during that time, up to its turns.
  it("is as long as all that starts until then takes", () => {
    const others = fc.array(
      fc.record({ fair: fc.nat(1_000), waiting: fc.nat(1_000), inflow: fc.double({ min: 0, max: 0.1, noNaN: true }) }),
      {
        maxLength: 9,
      },
    );
    fc.assert(
      fc.property(fc.nat(1_000), others, (own, others) => {
        const starts = startsUntil(own, others);
        const sum = others.reduce((sum, { fair, inflow, waiting }) => sum + Math.min(fair, waiting + inflow * starts), own);
        expect(Math.abs(starts - sum)).toBeLessThan(1);
      }),
    );
  });
});
