import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { afterDelivery, RETRY_DELAYS_MS, RETRY_SPAN_MS, retryAfterMs } from "../../policy/webhook/schedule.ts";

const HOUR = 3_600_000;
const answered = (status: number | null, retryAfterMs: number | null = null) => ({ status, retryAfterMs });
const first = { begunAt: 0, tries: 0 };

/** When a receiver that always fails is called, ms from the first attempt. */
function attempts(random: () => number, duration: () => number, wish: () => number | null = () => null): { at: number[]; end: number } {
  const at = [0];
  for (let tries = 0, now = 0; ; tries++) {
    now += duration();
    const verdict = afterDelivery(answered(503, wish()), { begunAt: 0, tries }, now, random());
    if (verdict.status !== "pending") return { at, end: now };
    now = Math.max(now, verdict.nextAt);
    at.push(now);
  }
}

describe("an answer", () => {
  it.each([200, 201, 202, 204, 299])("%i -> delivered", (status) => {
    expect(afterDelivery(answered(status), first, 1, 0)).toEqual({ status: "delivered" });
  });

  it("410 -> disabled, even to the last attempt", () => {
    expect(afterDelivery(answered(410), first, 1, 0)).toEqual({ status: "disabled" });
    expect(afterDelivery(answered(410), { begunAt: 0, tries: 9 }, 1, 0)).toEqual({ status: "disabled" });
  });

  it.each([100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 422, 429, 500, 502, 503, 504, null])(
    "%s -> again after 5 s",
    (status) => {
      expect(afterDelivery(answered(status), first, 1_000, 0)).toEqual({ status: "pending", nextAt: 6_000 });
    },
  );
});

describe("the schedule", () => {
  it("is the specification's: ten attempts, each delay from the last failure, the last one cut to 72 hours", () => {
    const { at } = attempts(
      () => 0,
      () => 0,
    );
    const clock = at.map((ms) => ms / 1_000);
    expect(clock).toEqual([0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 72 * 3_600]);
  });

  // Law: whatever the dice, the durations and the receiver's wishes, there are at most ten attempts, none begins after 72 hours, and their times never go back.
  it("ends within 72 hours", () => {
    const wish = fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 100 * HOUR }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.integer({ min: 0, max: 15_000 }), wish), {
          minLength: 10,
          maxLength: 10,
        }),
        (draws) => {
          let index = 0;
          const { at } = attempts(
            () => draws[index++]![0],
            () => draws[index]![1],
            () => draws[index]![2],
          );
          expect(at.length).toBeLessThanOrEqual(RETRY_DELAYS_MS.length + 1);
          expect(at.at(-1)).toBeLessThanOrEqual(RETRY_SPAN_MS);
          expect(at).toEqual([...at].sort((a, b) => a - b));
        },
      ),
    );
  });

  it("the dice take off a tenth of a delay at most", () => {
    expect(afterDelivery(answered(500), first, 0, 0.5)).toEqual({ status: "pending", nextAt: 4_750 });
    expect(afterDelivery(answered(500), { begunAt: 0, tries: 8 }, 60 * HOUR, 0.5)).toEqual({ status: "pending", nextAt: 70.8 * HOUR });
  });

  it("late by an outage -> one that is still due is made, and none after the end", () => {
    expect(afterDelivery(answered(500), { begunAt: 0, tries: 3 }, 80 * HOUR, 0)).toEqual({ status: "failed" });
  });
});

describe("Retry-After", () => {
  it("is heard where it is later than the schedule, the dice notwithstanding", () => {
    expect(afterDelivery(answered(503, 60_000), first, 0, 0.9)).toEqual({ status: "pending", nextAt: 60_000 });
    expect(afterDelivery(answered(503, 60_000), { begunAt: 0, tries: 1 }, 0, 0)).toEqual({ status: "pending", nextAt: 300_000 });
  });

  it("up to a day, and never beyond the end", () => {
    expect(afterDelivery(answered(503, 500 * HOUR), first, 0, 0)).toEqual({ status: "pending", nextAt: 24 * HOUR });
    expect(afterDelivery(answered(503, 500 * HOUR), first, 60 * HOUR, 0)).toEqual({ status: "pending", nextAt: 72 * HOUR });
  });

  it.each([
    ["120", 120_000],
    [" 0 ", 0],
    ["Thu, 01 Jan 1970 00:01:00 GMT", 50_000],
    ["Thu, 01 Jan 1970 00:00:01 GMT", 0],
    ["-5", null],
    ["soon", null],
    ["", null],
    [null, null],
  ])("%j -> %s ms", (header, ms) =>
    expect(retryAfterMs(header, 10_000, (date) => (/^\w{3}, /.test(date) ? Date.parse(date) : Number.NaN))).toBe(ms),
  );
});
