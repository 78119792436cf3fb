import { describe, expect, it } from "vitest";
import { before as ahead, began, startedOne, UNSEEN } from "../../policy/gaps.ts";

/** A line that has every `every`th start of its flow, seen for `starts` of the flow's starts. */
function seen(every: number, starts: number, length = 200) {
  let gaps = began(UNSEEN, 0);
  for (let start = every; start <= starts; start += every) gaps = startedOne(gaps, start, length);
  return gaps;
}

describe("how many of a flow start before a job of one of its lines", () => {
  it("is not known before some of the line have started", () => {
    expect(ahead(seen(3, 30), 30, 5)).toBeNull();
  });

  it("is as many for each of the line as it was of late", () => {
    expect(ahead(seen(3, 300), 300, 10)).toBeCloseTo(32);
  });

  it("counts what of its next gap is over", () => {
    expect(ahead(seen(4, 400), 402, 0)).toBeCloseTo(1);
    expect(ahead(seen(4, 400), 410, 2)).toBeCloseTo(8);
  });

  it("follows when the other kind is no longer let ahead", () => {
    let gaps = seen(5, 5_000);
    for (let start = 5_001; start <= 5_800; start++) gaps = startedOne(gaps, start, 200);
    expect(ahead(gaps, 5_800, 100)!).toBeLessThan(101);
  });

  it("leaves out the time in which none of the line waited", () => {
    let gaps = seen(2, 200);
    gaps = startedOne(began(gaps, 10_000), 10_002, 200);
    expect(ahead(gaps, 10_002, 10)).toBeCloseTo(21);
  });
});
