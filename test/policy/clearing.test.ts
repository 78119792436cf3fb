import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Crowd, clear, type Source } from "../../policy/clearing.ts";

const NONE = { requests: null, tokens: null };
const crowd = (id: string, jobs: number, more: Partial<Crowd> = {}): Crowd => ({
  id,
  tenant: id,
  jobs,
  tokens: jobs * 100,
  weight: 1,
  isBatch: false,
  caps: NONE,
  ...more,
});
/** One request a second, and more tokens than those need. */
const pool = (level = 0): Source[] => [
  { counts: "requests", perMs: 1 / 1_000, level, whole: 120 },
  { counts: "tokens", perMs: 1_000 / 1_000, level: Math.max(0, level) * 1_000, whole: 120_000 },
];
const lasts = (crowds: Crowd[], sources = pool()) =>
  Object.fromEntries(clear(crowds, sources).map(({ id, last }) => [id, Math.round(last / 100) / 10]));

describe("a backlog that nothing is added to", () => {
  it("of one tenant -> goes at the rate of the scarcest limit", () => {
    expect(clear([crowd("a", 100)], pool())).toEqual([{ id: "a", half: 49_500, nearly: 94_500, last: 99_500 }]);
    expect(lasts([crowd("a", 100, { tokens: 200_000 })])).toEqual({ a: 199 });
  });

  it("of two -> they share alike while both wait, by their weights, and who is left has all", () => {
    expect(lasts([crowd("a", 10), crowd("b", 50)])).toEqual({ a: 19, b: 59.5 });
    expect(lasts([crowd("a", 30, { weight: 3 }), crowd("b", 30)])).toEqual({ a: 39.3, b: 59.5 });
  });

  it("that take different limits -> each has as much of what it takes most of", () => {
    const heavy = crowd("heavy", 10, { tokens: 10 * 4_000 });
    // Each gets four fifths of what it takes most of; "heavy" needs only a fifth of the requests, and "light" gets the rest of them.
    expect(lasts([heavy, crowd("light", 1_000)]).heavy).toBe((9.5 * 4) / 0.8);
  });

  it("what may be spent at once goes at once, and a debt is paid off first", () => {
    expect(lasts([crowd("a", 100)], pool(60))).toEqual({ a: 39.5 });
    expect(lasts([crowd("a", 100)], pool(100))).toEqual({ a: 0 });
    expect(lasts([crowd("a", 10)], pool(-20))).toEqual({ a: 29.5 });
  });

  it("a tenant's own limit holds it back, and leaves the rest to others", () => {
    const own = { requests: 0.1 / 1_000, tokens: null };
    expect(lasts([crowd("a", 10, { caps: own }), crowd("b", 90)])).toEqual({ a: 95, b: 99.4 });
  });

  it("a tenant's own limit is that of its live work and its batches together", () => {
    const own = { requests: 0.5 / 1_000, tokens: null };
    const batch = crowd("b", 10, { tenant: "a", isBatch: true, caps: own });
    expect(lasts([crowd("a", 10, { caps: own }), batch])).toEqual({ a: 19, b: 39 });
    const tokens = { requests: null, tokens: 50 / 1_000 };
    expect(lasts([crowd("a", 10, { caps: tokens }), { ...batch, caps: tokens }])).toEqual({ a: 19, b: 39 });
  });

  it("what refills meanwhile of the other limit is no more than that ever holds", () => {
    // Ten minutes of small live jobs, which leave nearly all tokens. Then batches of a thousand tokens each; two minutes' worth of them start at once.
    const after = lasts([crowd("live", 600), crowd("batch", 600, { tokens: 600_000, isBatch: true })]);
    expect(after.live).toBe(599.5);
    expect(after.batch).toBeGreaterThan(599 + 599);
  });

  it("batches have what live work leaves", () => {
    expect(lasts([crowd("a", 10, { isBatch: true }), crowd("b", 10)])).toEqual({ a: 19.5, b: 9.5 });
    const own = { requests: 0.5 / 1_000, tokens: null };
    expect(lasts([crowd("a", 10, { isBatch: true }), crowd("b", 10, { caps: own })])).toEqual({ a: 19, b: 19 });
  });

  it("at a rate however small -> as long as it takes, not at once", () => {
    for (const perMs of [1e-6, 1e-10, 1e-20, 1e-300]) {
      const requests: Source = { counts: "requests", perMs, level: 0, whole: 1 };
      const [of] = clear([crowd("a", 3)], [requests, { counts: "tokens", perMs: 1, level: 100, whole: 100 }]);
      expect(of!.last * perMs).toBeCloseTo(2.5, 6);
      const [own] = clear([crowd("a", 3, { caps: { requests: perMs, tokens: null } })], pool(10));
      expect(own!.last * perMs).toBeCloseTo(2.5, 6);
    }
    // So slow that the time is no number any more: none of them starts, and that is told.
    const [none] = clear([crowd("a", 3)], [{ counts: "requests", perMs: 0, level: 0, whole: 0 }]);
    expect(none!.last).toBe(Number.POSITIVE_INFINITY);
  });

  it("each takes more than may be spent at once -> it starts once the bucket is full, and leaves a debt", () => {
    const perMs = 1 / 6_000_000;
    const requests = (spentMs: number): Source => ({ counts: "requests", perMs, level: perMs * (60_000 - spentMs), whole: perMs * 60_000 });
    // A full bucket: one at once, and another whenever the last is paid off.
    expect(clear([crowd("a", 3)], [requests(0)])[0]!.last / 12_000_000).toBeCloseTo(1, 1);
    expect(clear([crowd("a", 1)], [requests(65_000)])[0]!.last).toBeLessThan(65_001);
  });

  it("whatever waits: all is done as soon as the scarcest limit allows, and half before nearly all before the last", () => {
    const some = fc.record({
      jobs: fc.integer({ min: 1, max: 500 }),
      each: fc.integer({ min: 1, max: 5_000 }),
      weight: fc.constantFrom(0.5, 1, 3),
      isBatch: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 8 }), fc.integer({ min: 0, max: 60 }), (flows, level) => {
        const crowds = flows.map(({ each, ...flow }, index) => crowd(`${index}`, flow.jobs, { ...flow, tokens: flow.jobs * each }));
        const sources = pool(level);
        const cleared = clear(crowds, sources);
        const sum = (of: "jobs" | "tokens") => crowds.reduce((total, each) => total + each[of], 0);
        const least = Math.max(0, (sum("jobs") - level) * 1_000 - 500, sum("tokens") - level * 1_000 - 5_000);
        const last = Math.max(...cleared.map((each) => each.last));
        expect(last).toBeGreaterThan(least - 1);
        for (const each of cleared) expect(each.half <= each.nearly && each.nearly <= each.last).toBe(true);
        // Nothing takes longer than if the limits let jobs go one after the other instead of together.
        expect(last).toBeLessThanOrEqual(sum("jobs") * 1_000 + sum("tokens") + 1);
      }),
    );
  });
});
