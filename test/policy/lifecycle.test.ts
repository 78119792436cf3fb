import { describe, expect, it } from "vitest";
import { isEnd, mayBecome } from "../../policy/lifecycle.ts";
import { ENDS, type JobStatus, STATUSES } from "../../schemas/job.ts";

const ways = STATUSES.flatMap((from) => STATUSES.map((to): [JobStatus, JobStatus] => [from, to]));

describe("the life of a job", () => {
  // Law: a job never leaves a final status.
  it.each(ways.filter(([from]) => isEnd(from)))("%s -> %s: never", (from, to) => {
    expect(mayBecome(from, to)).toBe(false);
  });

  it("can fail, be cancelled and expire from wherever it has not ended", () => {
    for (const from of STATUSES.filter((each) => !isEnd(each))) {
      for (const to of ["failed", "cancelled", "expired"] as const) expect(mayBecome(from, to)).toBe(true);
    }
  });

  it("is completed only out of a call", () => {
    expect(STATUSES.filter((from) => mayBecome(from, "completed"))).toEqual(["in_progress"]);
  });

  it("goes back to the queue, and in progress again with the next attempt", () => {
    expect(mayBecome("in_progress", "queued")).toBe(true);
    expect(mayBecome("in_progress", "in_progress")).toBe(true);
  });

  it("reaches an end from every status that is none", () => {
    const reached = new Set<JobStatus>(ENDS);
    for (let round = 0; round < STATUSES.length; round++) {
      for (const [from, to] of ways) if (mayBecome(from, to) && reached.has(to)) reached.add(from);
    }
    expect(reached).toEqual(new Set(STATUSES));
  });

  it("knows its ends from its other words", () => {
    expect(["queued", "position", "in_progress", "delta", "retrying", "scheduled", "", "toString", ...ENDS].filter(isEnd)).toEqual([
      ...ENDS,
    ]);
  });
});
