import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Limits, leaveBy, openBudget, type Reservation, readiness, refund, reserve, spentTwice } from "../../policy/budget.ts";
import { nextRecord, restore } from "../../policy/ledger.ts";
import { idleKind } from "../../policy/packing.ts";
import { type Admitted, broken, START } from "./intervals.ts";

const NONE: Limits = { rpm: null, tpm: null, rpd: null, tpd: null, concurrency: null, burstSeconds: 60 };
const open = (some: Partial<Limits>) => openBudget({ ...NONE, ...some });
const MINUTE_MS = 60_000;
const inMs = (by: number, now: number) => by - now;

describe("by when a call leaves", () => {
  it("is half of the transit after it was let go", () => {
    const [budget, now] = [open({ rpm: 600, tpm: 6_000, transitMs: 1_000 }), START];
    reserve(budget, 13, now);
    expect(inMs(leaveBy(budget, now), now)).toBe(500);
  });

  it("is a minute, where all of two minutes is within an eighth of what refills in the transit", () => {
    const [budget, now] = [open({ rpm: 48_000, tpm: 480_000, transitMs: 1_000 }), START];
    for (let call = 1; call <= 100; call++) {
      reserve(budget, 10, now);
      expect(inMs(leaveBy(budget, now), now)).toBe(MINUTE_MS);
    }
    reserve(budget, 10, now + MINUTE_MS);
    expect(inMs(leaveBy(budget, now + MINUTE_MS), now + MINUTE_MS)).toBe(500);
    reserve(budget, 10, now + 3 * MINUTE_MS);
    expect(inMs(leaveBy(budget, now + 3 * MINUTE_MS), now + 3 * MINUTE_MS)).toBe(MINUTE_MS);
  });

  it("is half of the transit for two minutes after a restart: what was let go before is not known", () => {
    const budget = open({ rpm: 48_000 });
    restore(budget, nextRecord(budget, null, START)!, START);
    const byAfter = (minutes: number) => {
      reserve(budget, 1, START + minutes * MINUTE_MS);
      return inMs(leaveBy(budget, START + minutes * MINUTE_MS), START + minutes * MINUTE_MS);
    };
    expect([0, 1, 2].map(byAfter)).toEqual([500, 500, MINUTE_MS]);
  });

  it.each<[string, Partial<Limits>]>([
    ["no limit of a minute", { rpd: 100 }],
    ["windows and no transit", { rpm: 600, tpm: 6_000, windowSeconds: 60, transitMs: 0 }],
    ["nothing given up for the transit", { rpm: 600, transitMs: 0 }],
  ])("matters to nobody with %s", (_, limits) => {
    const [budget, now] = [open(limits), START];
    reserve(budget, 10, now);
    expect(leaveBy(budget, now)).toBe(Number.POSITIVE_INFINITY);
  });

  it("is a sixth of the transit with windows, however few go", () => {
    const [budget, now] = [open({ rpm: 48_000, windowSeconds: 60, transitMs: 1_200 }), START];
    reserve(budget, 1, now);
    expect(inMs(leaveBy(budget, now), now)).toBe(200);
  });

  it("matters not to one that goes to see whether a day's limit still holds", () => {
    const [budget, now] = [open({ rpm: 60, rpd: 1 }), START];
    reserve(budget, 1, now);
    expect(inMs(leaveBy(budget, now), now)).toBe(500);
    reserve(budget, 1, now);
    expect(leaveBy(budget, now)).toBe(Number.POSITIVE_INFINITY);
  });
});

type Pending = Admitted & { reservation: Reservation; leavesAt: number; by: number };
const call = fc.record({
  afterMs: fc.oneof(fc.constant(0), fc.nat(50), fc.nat(5_000), fc.nat(200_000)),
  share: fc.oneof(fc.constantFrom(0, 0.01, 0.4), fc.double({ min: 0, max: 0.4, noNaN: true })),
  lateMs: fc.oneof(fc.constant(0), fc.nat(1_000), fc.nat(20_000), fc.nat(90_000)),
});

// Law (promise 1): however late calls leave, no interval holds more than upstream's own bucket, provided that late calls ask again.
it("whatever leaves how late, what is sent fits upstream's buckets", () => {
  const limits = fc.record({
    rpm: fc.constantFrom(30, 600, 60_000),
    tpm: fc.constantFrom(6_000, 600_000),
    burstSeconds: fc.constantFrom(0.5, 1, 4, 10, 60),
    transitMs: fc.constantFrom(250, 1_000),
  });
  fc.assert(
    fc.property(limits, fc.array(call, { maxLength: 120 }), (some, calls) => {
      const all = { ...NONE, ...some };
      const sent = play(all, calls);
      expect(broken(sent, all)).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

/** Lets calls go as they fit. Each is ready some time later; those that are late ask again in the order in which they are ready. Returns what was sent. */
function play(limits: Limits, calls: { afterMs: number; share: number; lateMs: number }[]): Admitted[] {
  const budget = openBudget(limits);
  const sent: Admitted[] = [];
  let pending: Pending[] = [];
  let now = START;
  const leave = (until: number) => {
    const due = pending.filter(({ leavesAt }) => leavesAt <= until).sort((a, b) => a.leavesAt - b.leavesAt);
    pending = pending.filter(({ leavesAt }) => leavesAt > until);
    for (const { by, leavesAt, reservation, tokens } of due) {
      if (leavesAt > by) {
        refund(budget, reservation, leavesAt);
        if (readiness(budget, tokens, leavesAt).at > leavesAt) continue;
        reserve(budget, tokens, leavesAt);
      }
      sent.push({ at: leavesAt, tokens });
    }
  };
  for (const { afterMs, lateMs, share } of calls) {
    now += afterMs;
    leave(now);
    const tokens = Math.floor((share * limits.tpm! * limits.burstSeconds) / 60);
    if (readiness(budget, tokens, now).at > now) continue;
    const reservation = reserve(budget, tokens, now);
    pending.push({ at: now, tokens, reservation, leavesAt: now + lateMs, by: leaveBy(budget, now) });
  }
  leave(Number.POSITIVE_INFINITY);
  return sent.toSorted((a, b) => a.at - b.at);
}

it("what was spent twice for a call keeps nobody from using what would be lost", () => {
  const budget = open({ rpm: 60, tpm: 60_000 });
  const line = { head: 100, mean: 500, large: () => [], small: 100 };
  reserve(budget, 5_000, START);
  expect(idleKind(budget, line, START)).toBeNull();
  spentTwice(budget, 5_000);
  expect(idleKind(budget, line, START)).toBe("tokens");
  reserve(budget, 5_000, START);
  expect(idleKind(budget, line, START)).toBeNull();
  // All of it has refilled: what is spent from now on is spent only once.
  expect(idleKind(budget, line, START + 20_000)).toBe("tokens");
  reserve(budget, 5_000, START + 20_000);
  expect(idleKind(budget, line, START + 20_000)).toBeNull();
});
