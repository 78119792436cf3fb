/** Law: a start is charged what its flow's calls are known to use; what is not known of the flow is taken from the pool, and what is not known of that is all that was reserved. */
import { describe, expect, it } from "vitest";
import { Use } from "../../policy/use.ts";
import { always, drain, filled, gate, job } from "./lanes.ts";

function seen(calls: number, part: number): Use {
  const use = new Use();
  for (let call = 0; call < calls; call++) use.note(100, 100 * part);
  return use;
}

describe("the part that calls use", () => {
  it("is all as long as no call has ended", () => {
    expect(new Use().part()).toBe(1);
    expect(new Use().part(new Use())).toBe(1);
  });

  it("comes nearer to what they used with each that ends", () => {
    const parts = [1, 4, 16, 64, 256].map((calls) => seen(calls, 1 / 2).part());
    expect(parts).toEqual(parts.toSorted((a, b) => b - a));
    expect(parts[2]).toBeCloseTo(3 / 4, 6);
    expect(parts[4]).toBeLessThan(0.54);
  });

  it("is the pool's for a flow of which nothing is known, and its own for one of which much is", () => {
    const pool = seen(10_000, 1 / 2);
    expect(new Use().part(pool)).toBe(pool.part());
    expect(seen(10_000, 1).part(pool)).toBeGreaterThan(0.95);
  });

  it("weighs calls by what they reserve: a large one counts for many small ones", () => {
    const use = new Use();
    for (let call = 0; call < 256; call++) use.note(call % 2 ? 1 : 999, call % 2 ? 0 : 999);
    expect(use.part()).toBeGreaterThan(0.95);
  });

  it.each([
    [1 / 1_000, 1 / 4],
    [1_000, 4],
  ])("of %s is taken for no less than a quarter and no more than four times: %s", (part, bound) => {
    expect(Math.abs(Math.log2(seen(10_000, part).part() / bound))).toBeLessThan(0.01);
  });

  it("follows a change within some hundreds of calls", () => {
    const use = seen(10_000, 1 / 4);
    for (let call = 0; call < 768; call++) use.note(100, 100);
    expect(use.part()).toBeGreaterThan(0.9);
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

it("who starts alone, and has had the most, touches nobody: nothing of that start is to be settled; of any other it is what was charged", () => {
  const order = filled([job("a", COST), job("a", COST)]);
  const alone = order.next(gate(always))!;
  expect(order.charged(alone)).toBeNull();
  order.add(job("b", COST));
  const beside = order.next(gate(always))!;
  expect(order.charged(beside)).toBe(COST);
});
