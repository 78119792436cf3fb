/** Law: a start is charged what its flow's calls are known to use; what is not known of the flow is taken from the pool, and what is not known of that is all that was reserved. */
import { describe, expect, it } from "vitest";
import { type Use, Uses, unseen } from "../../policy/use.ts";
import { always, drain, filled, gate, job } from "./lanes.ts";

function seen(uses: Uses, calls: number, part: number): Use {
  const use = unseen();
  for (let call = 0; call < calls; call++) uses.note(use, 100, 100 * part);
  return use;
}

/** What is charged of a flow's calls after so many, in a pool of which nothing else is known. */
function partAfter(calls: number, part: number): number {
  const use = seen(new Uses(), calls, part);
  return new Uses().partOf(use);
}

describe("the part that is charged", () => {
  it("is all as long as no call has ended", () => {
    expect(new Uses().partOf(unseen())).toBe(1);
    expect(new Uses().isEmpty).toBe(true);
  });

  it("comes nearer to what a flow's calls used with each that ends", () => {
    const parts = [1, 4, 16, 64, 256].map((calls) => partAfter(calls, 1 / 2));
    expect(parts).toEqual(parts.toSorted((a, b) => b - a));
    expect(parts[2]).toBeCloseTo(3 / 4, 6);
    expect(parts[4]).toBeLessThan(0.54);
  });

  it("weighs calls by what they reserve: a large one counts for many small ones", () => {
    const [uses, use] = [new Uses(), unseen()];
    for (let call = 0; call < 256; call++) uses.note(use, call % 2 ? 1 : 999, call % 2 ? 0 : 999);
    expect(uses.partOf(use)).toBeGreaterThan(0.95);
  });

  it.each([
    [1 / 1_000, 1 / 4],
    [1_000, 4],
  ])("of %s is taken for no less than a quarter and no more than four times: %s", (part, bound) => {
    expect(partAfter(10_000, part) / bound).toBeCloseTo(1, 1);
  });

  it("follows a change within some hundreds of calls", () => {
    const uses = new Uses();
    const use = seen(uses, 10_000, 1 / 4);
    for (let call = 0; call < 768; call++) uses.note(use, 100, 100);
    expect(uses.partOf(use)).toBeGreaterThan(0.9);
  });
});

describe("of a flow of which nothing is known", () => {
  it("it is that of the flow whose calls use most, however many calls others have had", () => {
    const uses = new Uses();
    seen(uses, 10_000, 1 / 50);
    expect(uses.partOf(unseen())).toBe(1 / 4);
    const half = seen(uses, 100, 1 / 2);
    expect(uses.partOf(unseen())).toBe(1 / 2);
    // It uses less by now.
    for (let call = 0; call < 10_000; call++) uses.note(half, 100, 25);
    expect(uses.partOf(unseen())).toBeLessThan(0.3);
  });

  it("it is no more than all, though others use more than they reserve", () => {
    const uses = new Uses();
    seen(uses, 10_000, 4);
    expect(uses.partOf(unseen())).toBe(1);
  });

  it("a flow that has had a few calls tells nothing of it", () => {
    const uses = new Uses();
    seen(uses, 15, 1 / 4);
    expect(uses.partOf(unseen())).toBe(1);
    expect(uses.isEmpty).toBe(true);
  });

  it("it is after a restart what it was before, until some are known again", () => {
    const uses = new Uses();
    uses.recall(0.4);
    expect(uses.isEmpty).toBe(false);
    expect(uses.partOf(unseen())).toBe(0.4);
    seen(uses, 16, 1);
    expect(uses.partOf(unseen())).toBe(1);
  });
});

const COST = 8;

it.each(["a", "b"] as const)(
  "one flow's calls use a quarter, the other's all -> the place of a job of %s is the one at which it starts",
  (flow) => {
    const jobs = { a: Array.from({ length: 60 }, () => job("a", COST)), b: Array.from({ length: 60 }, () => job("b", COST)) };
    const order = filled([...jobs.a, ...jobs.b]);
    for (let call = 0; call < 500; call++) {
      order.used("a", COST, COST / 4);
      order.used("b", COST, COST);
    }
    const asked = jobs[flow][8]!;
    const told = order.position(asked, { requests: 0, tokens: COST });
    expect(told).toBe(drain(order).indexOf(asked) + 1);
  },
);

it("as long as nothing is known, what a flow is charged that competes with nobody is kept; beside another, or once something is known, it is settled", () => {
  const order = filled([1, 2, 3, 4].map(() => job("a", COST)));
  expect(order.charged(order.next(gate(always))!)).toBeNull();
  const other = job("b", COST);
  order.add(other);
  expect(order.charged(order.next(gate(always))!)).toBe(COST);
  order.remove(other);
  expect(order.charged(order.next(gate(always))!)).toBeNull();
  for (let call = 0; call < 16; call++) order.used("a", COST);
  expect(order.charged(order.next(gate(always))!)).toBe(COST);
});

it("of 200 tenants of which nothing is known, beside one whose calls use a third: a place is the one at which the job starts", () => {
  const TENANTS = 200;
  const jobs = Array.from({ length: 10 * TENANTS }, (_, index) => job(`t${String(index % TENANTS).padStart(3, "0")}`, COST));
  const order = filled([job("z", COST), ...jobs]);
  for (let call = 0; call < 300; call++) order.used("z", COST, COST * 0.37);
  for (let start = 0; start <= TENANTS; start++) order.next(gate(always));
  const told = new Map(jobs.slice(TENANTS).map((each) => [each, order.position(each, { requests: 0, tokens: COST })]));
  const off = drain(order).map((each, index) => Math.abs(told.get(each)! - index - 1));
  expect(Math.max(...off)).toBeLessThanOrEqual(1);
});
