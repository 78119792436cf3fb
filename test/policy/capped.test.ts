import { describe, expect, it } from "vitest";
import { Order } from "../../policy/order.ts";
import type { Waiting } from "../../policy/queue.ts";
import { alike, always, drain, equal, filled, gate, job, tenants } from "./lanes.ts";

describe("tenants at their own cap", () => {
  it("lets a job that must wait for its tenant's own cap hold back no other tenant", () => {
    const order = filled([..."aabb"].map((tenant) => job(tenant)));
    const capped = ({ tenant }: Waiting) => (tenant === "a" ? ("lane" as const) : ("start" as const));
    expect([1, 2, 3].map(() => order.next(gate(capped))?.tenant)).toEqual(["b", "b", undefined]);
    expect(order.size).toBe(2);
    order.readmit("a");
    expect(tenants(drain(order))).toBe("aa");
  });

  it("asks a tenant at its own cap no more until it is admitted again, or its jobs change", () => {
    const order = filled([..."aab"].map((tenant) => job(tenant)));
    let asked = 0;
    const capped = gate(({ tenant }) => {
      if (tenant === "a") asked++;
      return tenant === "a" ? "lane" : "start";
    });
    for (let time = 0; time < 5; time++) order.next(capped);
    expect(asked).toBe(1);
    order.readmit("a");
    order.next(capped);
    expect(asked).toBe(2);
    order.add(job("a"));
    order.next(capped);
    expect(asked).toBe(3);
  });

  it("asks the next tenant after a capped one before it finds the pool full, and keeps both", () => {
    const order = filled([..."abc"].map((tenant) => job(tenant)));
    const answer = ({ tenant }: Waiting) => (tenant === "a" ? ("lane" as const) : ("pool" as const));
    expect(order.next(gate(answer))).toBeNull();
    order.readmit("a");
    expect(tenants(drain(order))).toBe("abc");
  });

  it("keeps its least tenant on top when one that lags behind its cap takes its jobs back and comes again", () => {
    const order = new Order(equal, alike);
    const lagging = job("a");
    for (const each of [lagging, job("c"), ...Array.from({ length: 20 }, () => job("b"))]) order.add(each);
    const capped = ({ tenant }: Waiting) => (tenant === "b" ? ("start" as const) : ("lane" as const));
    for (let start = 0; start < 10; start++) order.next(gate(capped));
    order.remove(lagging);
    order.add(job("a"));
    order.readmit("c");
    const least = Math.min(...[...order.lanes.values()].map((lane) => lane.virtual));
    const next = order.next(gate(always))!;
    expect(order.lanes.get(next.tenant)!.virtual - 1).toBe(least);
  });

  it("are forgiven what they were charged as soon as others have had as much, and do not get it back as well", () => {
    const order = filled([job("a", 50), ...Array.from({ length: 60 }, () => job("a")), ...Array.from({ length: 300 }, () => job("b"))]);
    expect(order.next(gate(always))?.tenant).toBe("a");
    const capped = gate(({ tenant }) => (tenant === "a" ? "lane" : "start"));
    for (let start = 0; start < 200; start++) order.next(capped);
    order.credit("a", 49);
    order.readmit("a");
    expect(tenants(drain(order).slice(0, 10)).replaceAll("b", "").length).toBeLessThanOrEqual(6);
  });
});
