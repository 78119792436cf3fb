import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { departuresUntil, worthTelling } from "../../policy/position.ts";

/** The places that a client is told while its job goes through `places`. */
function toldOf(places: number[]): number[] {
  const told: number[] = [];
  for (const place of places) if (worthTelling(place, told.at(-1) ?? null)) told.push(place);
  return told;
}
const down = (from: number) => Array.from({ length: from }, (_, index) => from - index);

describe("a place worth telling", () => {
  it("is the first, then one down to three quarters of the last told, then each of the last three", () => {
    expect(toldOf(down(100))).toEqual([100, 75, 56, 42, 31, 23, 17, 12, 9, 6, 4, 3, 2, 1]);
    expect(toldOf(down(4))).toEqual([4, 3, 2, 1]);
    expect(toldOf([1, 1, 1])).toEqual([1]);
  });

  it("is none that is worse, nor the same again", () => {
    expect(toldOf([5, 9, 5, 4, 3, 3, 7, 2])).toEqual([5, 3, 2]);
  });

  it("may leave out what was jumped over", () => {
    expect(toldOf([1_000, 990, 3, 1])).toEqual([1_000, 3, 1]);
  });
});

describe("of any course", () => {
  const place = fc.integer({ min: 1, max: 1_000_000 });
  const course = fc.oneof(
    fc.array(place, { minLength: 1, maxLength: 200 }),
    // Moving forward step by step, as places do, with others pushing in now and then.
    fc.tuple(place, fc.array(fc.integer({ min: -50, max: 400 }), { maxLength: 400 })).map(([first, steps]) => {
      const places = [first];
      for (const step of steps) places.push(Math.max(1, places.at(-1)! - step));
      return places;
    }),
  );

  // Law: the number of notices for a job is O(log of its first place).
  it("the notices are at most 4 + log(first) / log(4/3), each better than the one before", () => {
    fc.assert(
      fc.property(course, (places) => {
        const told = toldOf(places);
        expect(told.length).toBeLessThanOrEqual(4 + Math.log(places[0]!) / Math.log(4 / 3));
        for (const [index, each] of told.entries()) if (index > 0) expect(each).toBeLessThan(told[index - 1]!);
      }),
      { numRuns: 1_000 },
    );
  });

  // Law: the place that a client knows is never more than a third above the truth while its job moves forward.
  it("no better place is kept back that is down to three quarters, or among the last three", () => {
    fc.assert(
      fc.property(course, (places) => {
        let told: number | null = null;
        for (const each of places) {
          if (worthTelling(each, told)) told = each;
          expect(each > told! * 0.75).toBe(true);
          if (each <= 3) expect(told).toBeLessThanOrEqual(each);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  // Law: looking only once enough jobs have left tells exactly the same places, if a place falls by one for each job that leaves.
  it("nothing is missed by looking no sooner than enough jobs have left", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_000 }), (first) => {
        const told = [first];
        let due = departuresUntil(first, first);
        for (let gone = 1; gone < first; gone++) {
          if (gone < due) continue;
          if (worthTelling(first - gone, told.at(-1)!)) told.push(first - gone);
          due = gone + departuresUntil(first - gone, told.at(-1)!);
        }
        expect(told).toEqual(toldOf(down(first)));
        expect(departuresUntil(1, 1)).toBe(Number.POSITIVE_INFINITY);
      }),
      { numRuns: 100 },
    );
  });
});
