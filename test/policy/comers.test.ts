/** Turns of those who come while calls are under way that used less than they were charged for, and of those who were there. */
import { describe, expect, it } from "vitest";
import type { Order } from "../../policy/order.ts";
import { Use } from "../../policy/use.ts";
import { always, drain, filled, gate, job, tenants } from "./lanes.ts";

const COST = 8;
const many = (tenant: string, count: number) => Array.from({ length: count }, () => job(tenant, COST));

/** Starts so many, and answers of whom they were and how they were charged. */
function start(order: Order, count: number) {
  return Array.from({ length: count }, () => {
    const { flow, tokens } = order.next(gate(always))!;
    return { flow, ...order.charged(flow, tokens) };
  });
}

describe("who comes while others' calls are under way", () => {
  it("has every second start from the first on, whatever a flow that was alone gets back then", () => {
    const order = filled(many("a", 60));
    const calls = start(order, 20);
    for (const each of many("b", 20)) order.add(each);
    for (const { flow, since } of calls) order.credit(flow, COST / 2, since);
    expect(tenants(drain(order).slice(0, 16))).toBe("ba".repeat(8));
  });

  it("comes among others who differ by what they used: that goes on to count between them", () => {
    const order = filled([...many("a", 60), ...many("b", 60)]);
    const calls = start(order, 20);
    for (const each of many("c", 20)) order.add(each);
    // Of its ten calls a used one in four less.
    for (const { flow, since } of calls) if (flow === "a") order.credit(flow, COST / 4, since);
    const next = tenants(drain(order).slice(0, 30));
    const startsOf = (tenant: string) => [...next].filter((each) => each === tenant).length;
    expect(startsOf("a") - startsOf("b")).toBeGreaterThanOrEqual(2);
    expect(startsOf("c")).toBeGreaterThanOrEqual(10);
  });

  it("has nothing of what a flow gets back that has left: it would go ahead of those who were there", () => {
    const order = filled([...many("a", 10), ...many("b", 60)]);
    const calls = start(order, 20);
    for (const each of many("c", 20)) order.add(each);
    for (const { flow, since } of calls) if (flow === "a") order.credit(flow, COST / 2, since);
    expect(["b", "c"].map((flow) => order.lanes.get(flow)!.credit)).toEqual([0, 0]);
  });

  it("is not given what calls give back that started when it was there", () => {
    const order = filled([...many("a", 60), ...many("b", 60)]);
    for (const { flow, since } of start(order, 20)) if (flow === "a") order.credit(flow, COST / 2, since);
    expect(order.lanes.get("b")!.credit).toBe(0);
  });
});

describe("what a flow is thought to use of what its calls reserve", () => {
  it("is all until it is known, and then what its calls used", () => {
    const use = new Use();
    expect(use.part).toBe(1);
    for (let call = 0; call < 3_000; call++) use.note(1_000, call % 2 ? 900 : 500);
    expect(use.part).toBeCloseTo(0.7, 2);
  });

  it("is a quarter at the least: one who made himself known by small calls is not let go for nothing with large ones", () => {
    const use = new Use();
    for (let call = 0; call < 100; call++) use.note(10_000, 10);
    expect(use.part).toBe(0.25);
  });

  it("is charged at the start, and what the call used in the end", () => {
    const order = filled([...many("a", 30), ...many("b", 30)]);
    for (let call = 0; call < 100; call++) for (const flow of "ab") order.used(flow, COST, COST / 2);
    expect(order.charged("a", COST).tokens).toBe(COST / 2);
    const costs = { ...gate(always), costMs: (_: unknown, tokens = COST) => tokens };
    const flow = order.next(costs)!.flow;
    // It took all, twice what it was charged: that is paid with its next start.
    order.credit(flow, COST / 2 - COST);
    expect(Array.from({ length: 4 }, () => order.next(costs)!.flow).join("")).toBe("babb");
  });
});
