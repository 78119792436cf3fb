/**
 * Law: a start is charged what its flow's calls are known to use. Where too little is known of the flow, the pool's calls stand in; where too little is known
 * of those, everything reserved is charged.
 */
import { describe, expect, it } from "vitest";
import { type Use, Uses, unseen } from "../../policy/use.ts";
import { always, drain, filled, gate, job } from "./lanes.ts";

const CALL = 100;

function seen(uses: Uses, calls: number, part: number, size = CALL): Use {
  const use = unseen();
  for (let call = 0; call < calls; call++) uses.note(use, size, size * part);
  return use;
}

/** The part charged for a flow's call after `calls` calls of this size, in a pool of which nothing else is known. */
const partAfter = (calls: number, part: number, size = CALL) => new Uses().partOf(seen(new Uses(), calls, part, size), CALL);

/** The part charged for a flow of which nothing is known. */
const ofAny = (uses: Uses) => uses.partOf(unseen(), CALL);

describe("the part that is charged", () => {
  it("is all as long as no call has ended", () => {
    expect(ofAny(new Uses())).toBe(1);
  });

  it("comes nearer to what a flow's calls used with each that ends", () => {
    const parts = [1, 4, 8, 64, 256].map((calls) => partAfter(calls, 3 / 5));
    expect(parts).toEqual(parts.toSorted((a, b) => b - a));
    expect(parts[2]).toBeCloseTo(4 / 5, 2);
    expect(parts[4]).toBeLessThan(0.63);
  });

  it("weighs calls by what they reserve: a large one counts for many small ones", () => {
    const [uses, use] = [new Uses(), unseen()];
    for (let call = 0; call < 256; call++) uses.note(use, call % 2 ? 1 : 999, call % 2 ? 0 : 999);
    expect(uses.partOf(use, CALL)).toBeGreaterThan(0.95);
  });

  it("of a large call small ones tell little, however many they are; and none that is known is forgotten for them", () => {
    expect(partAfter(10_000, 1 / 50, CALL / 100)).toBeGreaterThan(0.7);
    const uses = new Uses();
    const use = seen(uses, 256, 1);
    for (let call = 0; call < 1_000; call++) uses.note(use, CALL / 100, 0);
    expect(uses.partOf(use, CALL)).toBeGreaterThan(0.9);
  });

  it.each([
    [1 / 1_000, 1 / 4],
    [1_000, 32],
  ])("of %s is taken for no less than a quarter and no more than 32 times: %s", (part, bound) => {
    const times = partAfter(10_000, part) / bound;
    expect(Math.abs(times - 1)).toBeLessThan(0.1);
  });

  it("follows a change within some hundreds of calls", () => {
    const uses = new Uses();
    const use = seen(uses, 10_000, 1 / 2);
    for (let call = 0; call < 512; call++) uses.note(use, CALL, CALL);
    expect(uses.partOf(use, CALL)).toBeGreaterThan(0.9);
  });

  it("is told by no call that reserved nothing", () => {
    const uses = new Uses();
    const use = seen(uses, 100, 0.6);
    const before = uses.partOf(use, CALL);
    uses.note(use, 0, 1_000);
    expect(uses.partOf(use, CALL)).toBe(before);
  });
});

describe("of a flow of which nothing is known", () => {
  it("it is that of the flow whose calls use most, however many calls others have had", () => {
    const uses = new Uses();
    seen(uses, 10_000, 1 / 50);
    expect(ofAny(uses)).toBe(1 / 4);
    const more = seen(uses, 100, 3 / 4);
    expect(ofAny(uses)).toBeCloseTo(3 / 4, 1);
    // By now it uses less.
    for (let call = 0; call < 10_000; call++) uses.note(more, CALL, CALL / 4);
    expect(ofAny(uses)).toBeLessThan(0.3);
  });

  it("it is no more than all, though others use more than they reserve", () => {
    const uses = new Uses();
    seen(uses, 10_000, 4);
    expect(ofAny(uses)).toBe(1);
  });

  it("a flow that has had a few calls tells nothing of it", () => {
    const uses = new Uses();
    seen(uses, 10, 1 / 4);
    expect(ofAny(uses)).toBe(1);
  });

  it("it is after a restart what it was before, until some are known again", () => {
    const uses = new Uses();
    uses.recall(0.6);
    expect(ofAny(uses)).toBe(0.6);
    seen(uses, 30, 1);
    expect(ofAny(uses)).toBe(1);
  });
});

const COST = 8;

it.each(["a", "b"] as const)(
  "one flow's calls use a half, the other's all -> the place of a job of %s is the one at which it starts",
  (flow) => {
    const jobs = { a: Array.from({ length: 60 }, () => job("a", COST)), b: Array.from({ length: 60 }, () => job("b", COST)) };
    const order = filled([...jobs.a, ...jobs.b]);
    for (let call = 0; call < 500; call++) {
      order.used("a", COST, COST / 2);
      order.used("b", COST, COST);
    }
    const asked = jobs[flow][8]!;
    const told = order.position(asked, { requests: 0, tokens: COST });
    expect(told).toBe(drain(order).indexOf(asked) + 1);
  },
);

it("what a flow is charged that competes with nobody, and has many calls under way of which nothing is known, is kept; of fewer, beside another, or once something is known, it is not", () => {
  const order = filled(Array.from({ length: 40 }, () => job("a", COST)));
  const next = () => {
    const { keeps, tokens } = order.charged(order.next(gate(always))!);
    return { tokens, keeps };
  };
  for (let call = 0; call < 16; call++) expect(next()).toEqual({ tokens: COST, keeps: false });
  expect(next()).toEqual({ tokens: COST, keeps: true });
  const other = job("b", COST);
  order.add(other);
  expect(next().keeps).toBe(false);
  order.remove(other);
  expect(next().keeps).toBe(true);
  for (let call = 0; call < 20; call++) order.used("a", COST);
  expect(next().keeps).toBe(false);
});

it("of 200 tenants of which nothing is known, beside one whose calls use two thirds: a place is the one at which the job starts", () => {
  const TENANTS = 200;
  const jobs = Array.from({ length: 10 * TENANTS }, (_, index) => job(`t${String(index % TENANTS).padStart(3, "0")}`, COST));
  const order = filled([job("z", COST), ...jobs]);
  for (let call = 0; call < 300; call++) order.used("z", COST, COST * 0.67);
  for (let start = 0; start <= TENANTS; start++) order.next(gate(always));
  const told = new Map(jobs.slice(TENANTS).map((each) => [each, order.position(each, { requests: 0, tokens: COST })]));
  const off = drain(order).map((each, index) => Math.abs(told.get(each)! - index - 1));
  expect(Math.max(...off)).toBeLessThanOrEqual(1);
});

it("what is known of a flow whose calls use more than they reserve is known after a restart; and of others what is known of a pool", () => {
  const order = filled([..."aabbcc"].map((flow) => job(flow, COST)));
  for (let call = 0; call < 500; call++) {
    order.used("a", COST, 8 * COST);
    order.used("b", COST, COST / 2);
  }
  const again = filled([..."aabbcc"].map((flow) => job(flow, COST)));
  again.recall(JSON.parse(JSON.stringify(order.standing())), () => null);
  const charged = () => order.charged(order.next(gate(always))!).tokens;
  const chargedAgain = () => again.charged(again.next(gate(always))!).tokens;
  const before = [charged(), charged(), charged()];
  const after = [chargedAgain(), chargedAgain(), chargedAgain()];
  expect(after[0]).toBeCloseTo(before[0]!, 6);
  expect(before[0]).toBeGreaterThan(7 * COST);
  expect(after.slice(1)).toEqual([COST, COST]);
});
