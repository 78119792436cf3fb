import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Budget, hold, type Limits, openBudget, readiness, reserve } from "../../policy/budget.ts";
import { eta, etaOf } from "../../policy/eta.ts";
import { START } from "./intervals.ts";

const NONE: Limits = { rpm: null, tpm: null, rpd: null, tpd: null, concurrency: null, burstSeconds: 60 };
const open = (some: Partial<Limits>): Budget => openBudget({ ...NONE, ...some });
const ahead = (jobs: number, tokensEach = 1, callMs = 0) => ({ jobs, tokens: jobs * tokensEach, callMs });

describe("an estimate", () => {
  it("is in seconds, to the ms, never negative, and a quarter more careful at the ninety-fifth percentile", () => {
    expect(eta(8_000.9, "tpm")).toEqual({ p50: 8.001, p95: 10.001, limited_by: "tpm" });
    expect(eta(-5, "none")).toEqual({ p50: 0, p95: 0, limited_by: "none" });
  });

  it("of a job that can start at once is nothing", () => {
    expect(etaOf(open({ rpm: 60, tpm: 6_000, concurrency: 3 }), ahead(1), 1, START)).toEqual({ p50: 0, p95: 0, limited_by: "none" });
  });

  it("of the next job is nothing too when one job is more than the burst", () => {
    expect(etaOf(open({ rpm: 6, burstSeconds: 1 }), ahead(1), 1, START).p50).toBe(0);
    expect(etaOf(open({ tpm: 6_000 }), ahead(1, 6_000), 6_000, START).p50).toBe(0);
  });

  it("waits for a hold of the pool", () => {
    const budget = open({ rpm: 60 });
    hold(budget, START + 5_000);
    expect(etaOf(budget, ahead(1), 1, START)).toMatchObject({ p50: 5, limited_by: "retry" });
    expect(etaOf(budget, ahead(79), 1, START)).toMatchObject({ p50: 20, limited_by: "rpm" });
  });

  it("counts the turns of the places when those are what lacks", () => {
    const budget = open({ concurrency: 4 });
    expect(etaOf(budget, ahead(4, 1, 2_000), 1, START)).toMatchObject({ p50: 0, limited_by: "none" });
    expect(etaOf(budget, ahead(6, 1, 2_000), 1, START)).toMatchObject({ p50: 1, limited_by: "concurrency" });
    for (let call = 0; call < 4; call++) reserve(budget, 1, START);
    expect(etaOf(budget, ahead(1, 1, 2_000), 1, START)).toMatchObject({ p50: 0.5, limited_by: "concurrency" });
    expect(etaOf(budget, ahead(8, 1, 2_000), 1, START)).toMatchObject({ p50: 4, limited_by: "concurrency" });
  });

  it("names the limit that lasts longest", () => {
    const budget = open({ rpm: 60, tpm: 6_000, concurrency: 1, burstSeconds: 2 });
    expect(etaOf(budget, ahead(11, 1, 100), 1, START).limited_by).toBe("rpm");
    expect(etaOf(budget, ahead(11, 1_000, 100), 1_000, START).limited_by).toBe("tpm");
    expect(etaOf(budget, ahead(11, 1, 10_000), 1, START).limited_by).toBe("concurrency");
  });
});

const limits = fc.record({
  rpm: fc.option(fc.constantFrom(1, 60, 500, 30_000), { nil: null }),
  tpm: fc.option(fc.constantFrom(6_000, 200_000, 180_000_000), { nil: null }),
  rpd: fc.option(fc.constantFrom(200, 10_000), { nil: null }),
  tpd: fc.constant(null),
  concurrency: fc.option(fc.integer({ min: 1, max: 10 }), { nil: null }),
  burstSeconds: fc.constantFrom(1, 2, 60),
});

describe("of random pools", () => {
  // Law: a job further back, or behind more tokens, is never told an earlier time.
  it("no job behind another is told an earlier time", () => {
    const spent = fc.array(fc.nat(100), { maxLength: 20 });
    fc.assert(
      fc.property(limits, spent, fc.nat(100), fc.nat(1_000), fc.nat(1_000), fc.nat(10_000), (limits, spent, tokens, jobs, more, callMs) => {
        const budget = openBudget(limits);
        for (const each of spent) reserve(budget, each, START);
        const near = etaOf(budget, ahead(1 + jobs, tokens, callMs), tokens, START + 500);
        const far = etaOf(budget, ahead(1 + jobs + more, tokens, callMs), tokens, START + 500);
        expect(far.p50).toBeGreaterThanOrEqual(near.p50);
        expect(far.p95).toBeGreaterThanOrEqual(near.p95);
        expect(near.p95).toBeGreaterThanOrEqual(near.p50);
      }),
      { numRuns: 500 },
    );
  });

  // Law: with nobody ahead, the estimate is the instant that the budget itself names.
  it("the next job is told when the budget lets it go", () => {
    fc.assert(
      fc.property(limits, fc.array(fc.nat(100), { maxLength: 20 }), fc.nat(100), (limits, spent, tokens) => {
        const budget = openBudget({ ...limits, concurrency: null });
        for (const each of spent) reserve(budget, each, START);
        const { at } = readiness(budget, tokens, START);
        expect(etaOf(budget, ahead(1, tokens), tokens, START).p50).toBeCloseTo((at - START) / 1_000, 2);
      }),
      { numRuns: 500 },
    );
  });

  // Law: under one limit, with jobs of one size, every estimate is the time at which the job actually starts.
  it.each(["rpm", "tpm"] as const)("alike jobs start when they were told, under %s alone", (resource) => {
    const rate = fc.constantFrom(1, 60, 500, 6_000);
    fc.assert(
      fc.property(rate, fc.constantFrom(1, 2, 60), fc.nat(20), (rate, burstSeconds, spent) => {
        const budget = open({ [resource]: rate, burstSeconds });
        const tokens = resource === "rpm" ? 100 : (rate * burstSeconds) / 60 / 10;
        for (let call = 0; call < spent; call++) reserve(budget, tokens, START);
        const told = Array.from({ length: 30 }, (_, index) => etaOf(budget, ahead(index + 1, tokens), tokens, START).p50);
        let now = START;
        const started = told.map(() => {
          now = readiness(budget, tokens, now).at;
          reserve(budget, tokens, now);
          return (now - START) / 1_000;
        });
        for (const [index, at] of started.entries()) expect(told[index]).toBeCloseTo(at, 1);
      }),
    );
  });
});
