import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Budget,
  clearanceMs,
  dominantMs,
  free,
  hold,
  type Limits,
  neverFits,
  openBudget,
  type Reservation,
  readiness,
  refund,
  refundTokens,
  release,
  reserve,
  retune,
  TRANSIT_MS,
  used,
} from "../../policy/budget.ts";
import { type Admitted, broken, START } from "./intervals.ts";

const NONE: Limits = { rpm: null, tpm: null, rpd: null, tpd: null, concurrency: null, burstSeconds: 60 };
const limitsOf = (some: Partial<Limits>): Limits => ({ ...NONE, ...some });
const open = (some: Partial<Limits>): Budget => openBudget(limitsOf(some));

describe("a budget", () => {
  it("lets a call go when every limit has room, and names the one that lasts longest when not", () => {
    const budget = open({ rpm: 60, tpm: 6_000, rpd: 1_000 });
    expect(readiness(budget, 3_000, START)).toEqual({ at: START, limitedBy: "none" });
    reserve(budget, 3_000, START);
    expect(readiness(budget, 2_900, START)).toEqual({ at: START, limitedBy: "none" });
    // 6,000 a minute minus a second of transit: 5,900 at once.
    expect(readiness(budget, 3_000, START)).toEqual({ at: START + 1_000, limitedBy: "tpm" });
    expect(readiness(budget, 3_100, START)).toEqual({ at: START + 2_000, limitedBy: "tpm" });
  });

  it("of less than a request a minute does not forget a call when the limit is told again", () => {
    const limits = limitsOf({ rpm: 0.1 });
    const budget = openBudget(limits);
    reserve(budget, 1, START);
    retune(budget, "rpm", limits);
    expect(readiness(budget, 1, START + 30_000).at).toBeCloseTo(START + 600_000, -1);
  });

  it("counts a call on all limits or on none", () => {
    const budget = open({ rpm: 60, tpm: 6_000, rpd: 100, tpd: 10_000, concurrency: 5 });
    reserve(budget, 700, START);
    expect((["rpm", "tpm", "rpd", "tpd"] as const).map((each) => used(budget, each, START))).toEqual([1, 700, 1, 700]);
    expect(budget.inFlight).toBe(1);
  });

  it("waits for an event, not for a time, when all places are taken", () => {
    const budget = open({ concurrency: 2 });
    reserve(budget, 1, START);
    reserve(budget, 1, START);
    expect(readiness(budget, 1, START)).toEqual({ at: Number.POSITIVE_INFINITY, limitedBy: "concurrency" });
    release(budget);
    expect(readiness(budget, 1, START).at).toBe(START);
  });

  it("keeps what an ended call reserved", () => {
    const budget = open({ rpm: 60, tpm: 6_000 });
    reserve(budget, 700, START);
    release(budget);
    expect([used(budget, "rpm", START), used(budget, "tpm", START), budget.inFlight]).toEqual([1, 700, 0]);
  });

  it("is silent until a hold ends, and holds are never shortened", () => {
    const budget = open({ rpm: 60 });
    hold(budget, START + 500);
    hold(budget, START + 100);
    expect(readiness(budget, 1, START)).toEqual({ at: START + 500, limitedBy: "retry" });
    expect(readiness(budget, 1, START + 499).at).toBe(START + 500);
    expect(readiness(budget, 1, START + 500)).toEqual({ at: START + 500, limitedBy: "none" });
  });

  it("restores a call that was given back at once, and its place", () => {
    const budget = open({ rpm: 60, tpm: 6_000, concurrency: 1 });
    const reservation = reserve(budget, 5_900, START);
    refund(budget, reservation, START);
    expect([used(budget, "rpm", START), used(budget, "tpm", START), budget.inFlight]).toEqual([0, 0, 0]);
    expect(readiness(budget, 5_900, START).at).toBe(START);
  });

  it("does not give back what has refilled meanwhile: a bucket left alone would have been full anyway", () => {
    const budget = open({ tpm: 6_000 });
    const voided = reserve(budget, 5_900, START);
    const half = START + 29_500;
    reserve(budget, 2_950, half);
    refund(budget, voided, half);
    // Without the voided call, 2,950 would be spent at this instant.
    expect(used(budget, "tpm", half)).toBeGreaterThanOrEqual(2_950);
  });

  it("does not give back what has refilled before a call ends that used less than it had reserved", () => {
    const budget = open({ tpm: 6_000, rpm: 60 });
    const { at, tokens } = reserve(budget, 5_900, START);
    const half = START + 29_500;
    reserve(budget, 2_950, half);
    refundTokens(budget, tokens - 100, at, half);
    // Everything but what has refilled: without those tokens the bucket would have been full long ago.
    expect(used(budget, "tpm", half)).toBeCloseTo(2_950, 6);
    expect(used(budget, "rpm", half)).toBe(1);
    refundTokens(budget, 1_000, undefined, half);
    expect(used(budget, "tpm", half)).toBeCloseTo(2_950, 6);
  });

  it("gives nothing but the place back for a call of which nobody knows when it was reserved", () => {
    const budget = open({ tpm: 6_000, concurrency: 3 });
    reserve(budget, 1_000, START);
    refund(budget, { tokens: 1_000 }, START);
    expect([used(budget, "tpm", START), budget.inFlight]).toEqual([1_000, 0]);
  });

  it("has no room below zero, and nothing to say of limits that it has not", () => {
    const budget = open({ tpm: 6_000 });
    reserve(budget, 6_000, START);
    expect(free(budget, "tpm", START)).toBe(0);
    expect([used(budget, "rpd", START), free(budget, "rpd", START)]).toEqual([0, 0]);
  });

  it.each<[string, Partial<Limits>, number, string | null]>([
    ["fits a minute's tokens to the last", { tpm: 6_000 }, 6_000, null],
    ["cannot fit one more", { tpm: 6_000 }, 6_001, "tpm"],
    ["fits a burst of two minutes", { tpm: 6_000, burstSeconds: 120 }, 12_000, null],
    ["cannot fit a burst of a second", { tpm: 6_000, burstSeconds: 1 }, 101, "tpm"],
    ["cannot fit a day", { tpm: 6_000, tpd: 500 }, 501, "tpd"],
    ["fits as one request, however low the rate", { rpm: 1, burstSeconds: 1 }, 1e9, null],
    ["fits where nothing is limited", {}, 1e12, null],
  ])("a call that %s", (_, limits, tokens, meter) => {
    expect(neverFits(open(limits), tokens)?.resource ?? null).toBe(meter);
  });

  it("pays a debt off before the next call", () => {
    const budget = open({ tpm: 6_000 });
    expect(readiness(budget, 6_000, START).at).toBe(START);
    reserve(budget, 6_000, START);
    expect(readiness(budget, 0, START).at).toBe(START + 1_000);
    expect(readiness(budget, 5_900, START).at).toBe(START + 60_000);
    expect(readiness(budget, 6_000, START).at).toBe(START + 60_000);
  });

  it("starts one call a minute at a request a minute, with however short a burst", () => {
    for (const burstSeconds of [0.001, 1, 60]) {
      const budget = open({ rpm: 1, burstSeconds });
      reserve(budget, 1, START);
      const { at } = readiness(budget, 1, START);
      expect(at - START).toBeGreaterThan(59_000);
      expect(at - START).toBeLessThanOrEqual(60_000 + 1);
    }
  });

  it("prices a call by the limit of which it takes the largest share", () => {
    const budget = open({ rpm: 60, tpm: 6_000 });
    expect(dominantMs(budget, 50)).toBe(1_000);
    expect(dominantMs(budget, 200)).toBeCloseTo(2_000, 9);
    expect(dominantMs(open({}), 200)).toBe(0);
  });

  it("clears a backlog at the rate of its scarcest limit", () => {
    const budget = open({ rpm: 60, tpm: 6_000, burstSeconds: 10 });
    expect(clearanceMs(budget, 9, 100, 10, START)).toEqual({ at: START, limitedBy: "none" });
    expect(clearanceMs(budget, 12, 100, 10, START)).toEqual({ at: START + 3_000, limitedBy: "rpm" });
    const tokens = clearanceMs(budget, 12, 1_500, 100, START);
    expect(tokens.limitedBy).toBe("tpm");
    expect(tokens.at - START).toBeCloseTo(6_000, 3);
  });
});

const limit = (most: number) => fc.option(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: most })), { nil: null });
const limits: fc.Arbitrary<Limits> = fc.record({
  rpm: limit(30_000),
  tpm: limit(200_000_000),
  rpd: limit(100_000),
  tpd: limit(1_000_000_000),
  concurrency: fc.option(fc.integer({ min: 1, max: 20 }), { nil: null }),
  burstSeconds: fc.constantFrom(0.001, 1, 2, 10, 60, 3_600),
});
type Step =
  | { do: "advance"; ms: number }
  | { do: "call"; share: number; wait: "ready" | "nearly" | "not" }
  | { do: "end"; which: number }
  | { do: "void"; which: number }
  | { do: "hold"; ms: number }
  | { do: "step back"; ms: number };
const which = fc.nat(1_000);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.oneof(fc.nat(100), fc.nat(100_000), fc.nat(90_000_000)) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("call" as const),
      share: fc.oneof(fc.constantFrom(0, 0.99, 1, 1.001), fc.double({ min: 0, max: 1, noNaN: true })),
      wait: fc.constantFrom("ready" as const, "nearly" as const, "not" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("end" as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("void" as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("hold" as const), ms: fc.nat(60_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("step back" as const), ms: fc.nat(5_000) }) },
);
type Call = Admitted & { reservation: Reservation };

/** Plays the steps and returns the calls that upstream charges for: voided calls are left out. */
function play(limits: Limits, steps: Step[], watch: (budget: Budget, now: number, held: number) => void = () => {}): Admitted[] {
  const budget = openBudget(limits);
  const running: Call[] = [];
  let admitted: Call[] = [];
  let now = START;
  // After the clock steps back, less time seems to have passed than did. The latest instant at which anything happened is nearer the truth.
  let latest = 0;
  let held = 0;
  const whole = Math.min(...budget.meters.filter((each) => each.counts === "tokens").map((each) => each.whole), 1e9);
  for (const step of steps) {
    if (step.do === "advance") now += step.ms;
    if (step.do === "step back") now -= step.ms;
    if (step.do === "hold") {
      held = Math.max(held, now + step.ms);
      hold(budget, now + step.ms);
    }
    if (step.do === "call") {
      const tokens = step.share * whole;
      if (neverFits(budget, tokens)) continue;
      const { at } = readiness(budget, tokens, now);
      if (step.wait !== "not" && Number.isFinite(at)) now = Math.max(now, step.wait === "ready" ? Math.ceil(at) : Math.floor(at) - 1);
      if (readiness(budget, tokens, now).at <= now) {
        expect(now).toBeGreaterThanOrEqual(held);
        latest = Math.max(latest, now);
        const call = { at: latest, tokens, reservation: reserve(budget, tokens, now) };
        running.push(call);
        admitted.push(call);
      }
    }
    if ((step.do === "end" || step.do === "void") && running.length > 0) {
      const [call] = running.splice(step.which % running.length, 1);
      if (step.do === "end") release(budget);
      else {
        latest = Math.max(latest, now);
        refund(budget, call!.reservation, now);
        admitted = admitted.filter((each) => each !== call);
      }
    }
    if (limits.concurrency !== null) expect(running.length).toBeLessThanOrEqual(limits.concurrency);
    expect(budget.inFlight).toBe(running.length);
    watch(budget, now, held);
  }
  return admitted;
}

describe("random histories", () => {
  // Law (promise 1): for every interval of length T, the amount admitted is at most burst + rate × T, on all limits at once.
  it("never go over budget in any interval, whatever is voided, held, ended or skewed", () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 80 }), (limits, steps) => {
        expect(broken(play(limits, steps), limits)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  // Law (promise 1): no 429s of our own making. Calls reach upstream up to TRANSIT_MS late, each by a different time, and still fit its buckets.
  it("fit upstream's own buckets, however unevenly the calls travel", () => {
    // A burst of less than one request has no margin to give, and neither does a single call larger than the burst.
    const roomy = limits.filter(
      (each) => each.burstSeconds >= 2 && ((each.rpm ?? 600) * (each.burstSeconds - 1)) / 60 >= 1 && (each.rpd ?? 2) >= 2,
    );
    const transit = fc.array(fc.oneof(fc.constantFrom(0, TRANSIT_MS), fc.nat(TRANSIT_MS)), { minLength: 80, maxLength: 80 });
    fc.assert(
      fc.property(roomy, fc.array(step, { maxLength: 80 }), transit, (limits, steps, transit) => {
        const small = steps.flatMap((each): Step[] => {
          if (each.do === "step back") return [];
          return [each.do === "call" ? { ...each, share: each.share * 0.49 } : each];
        });
        const arrived = play(limits, small).map((call, index) => ({ ...call, at: call.at + transit[index]! }));
        expect(
          broken(
            arrived.toSorted((a, b) => a.at - b.at),
            limits,
          ),
        ).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  // Law (promise 2): `readiness` names the earliest instant. The call can start then, but not a ms before.
  it("know the very instant at which a call can start", () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 40 }), fc.double({ min: 0, max: 1, noNaN: true }), (limits, steps, share) => {
        play(limits, steps, (budget, now) => {
          const whole = Math.min(...budget.meters.filter((each) => each.counts === "tokens").map((each) => each.whole), 1e9);
          const tokens = share * whole;
          const { at, limitedBy } = readiness(budget, tokens, now);
          if (at === Number.POSITIVE_INFINITY) {
            expect(limitedBy).toBe("concurrency");
            expect(budget.inFlight).toBe(limits.concurrency);
            return;
          }
          expect(readiness(budget, tokens, at)).toEqual({ at, limitedBy: "none" });
          expect(readiness(budget, tokens, Math.ceil(at)).at).toBe(Math.ceil(at));
          const meter = budget.meters.find((each) => each.resource === limitedBy);
          const before = at - 1 - (meter ? 5e-7 / meter.rate.perMs : 0);
          if (before > now) expect(readiness(budget, tokens, before)).toEqual({ at: expect.closeTo(at, 1), limitedBy });
        });
      }),
    );
  });
});

describe("an upstream that counts in windows", () => {
  const [rpm, tpm, windowMs, transitMs] = [600, 600_000, 60_000, 250];
  const open = () =>
    openBudget({ rpm, tpm, rpd: null, tpd: null, concurrency: null, burstSeconds: 0.5, windowSeconds: windowMs / 1_000, transitMs });

  // Law: even if everything is admitted as early as possible, no stretch as long as the window plus the transit holds more than the limit.
  it("never sees more than its limit in a window, wherever that begins and however late each call is", () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 2_000 }), fc.integer({ min: 2_000, max: 90_000 })), {
      minLength: 1,
      maxLength: 300,
    });
    fc.assert(
      fc.property(sizes, (sizes) => {
        const budget = open();
        const sent: { at: number; tokens: number }[] = [];
        let now = 0;
        for (const tokens of sizes) {
          now = readiness(budget, tokens, now).at;
          reserve(budget, tokens, now);
          sent.push({ at: now, tokens });
          const recent = sent.filter(({ at }) => at > now - windowMs - transitMs);
          expect(recent.length).toBeLessThanOrEqual(rpm + 1e-6);
          expect(recent.reduce((sum, each) => sum + each.tokens, 0)).toBeLessThanOrEqual(tpm + 1e-3);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("never sees more than its limit of jobs that are all larger than the burst", () => {
    const budget = open();
    const sent: number[] = [];
    let now = 0;
    for (let call = 0; call < 60; call++) {
      now = readiness(budget, 24_000, now).at;
      reserve(budget, 24_000, now);
      sent.push(now);
      expect(sent.filter((at) => at > now - windowMs - transitMs).length * 24_000).toBeLessThanOrEqual(tpm);
    }
  });

  it("is used but for the transit and the burst", () => {
    const budget = open();
    let now = 0;
    for (let call = 0; call < 6_000; call++) {
      now = readiness(budget, 1, now).at;
      reserve(budget, 1, now);
    }
    const used = 6_000 / rpm / (now / 60_000);
    expect(used).toBeGreaterThan((60 - 0.5) / (60 + 0.25) - 0.001);
  });
});
