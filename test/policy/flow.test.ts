import fc from "fast-check";
import { expect, it } from "vitest";
import { flowOf, isBatches, tenantOfFlow, weightOfFlow } from "../../policy/flow.ts";
import type { Gate } from "../../policy/gate.ts";
import { Order } from "../../policy/order.ts";
import type { Waiting } from "../../policy/queue.ts";

/** Everything may start; a job's cost is its `tokens`. */
const GATE: Gate = { starts: () => "start", costMs: ({ tokens }) => tokens, delayMs: () => 0, idle: () => null, now: 0 };
let arrivals = 0;

it("a flow is its tenant's, and has its weight, or a thousandth of it", () => {
  for (const batch of [true, false]) {
    const flow = flowOf("shop", batch);
    expect([tenantOfFlow(flow), isBatches(flow)]).toEqual(["shop", batch]);
    expect(weightOfFlow(flow, (tenant) => (tenant === "shop" ? 2 : 0))).toBe(batch ? 0.002 : 2);
  }
});

// Law: while live work waits, a batch gets a thousandth of what that gets, plus one job.
it("a batch has next to nothing while a live job waits, and all when none does", () => {
  const costs = fc.array(fc.tuple(fc.constantFrom("a", "b", "a/batches", "c/batches"), fc.integer({ min: 1, max: 100 })), {
    minLength: 1,
    maxLength: 80,
  });
  fc.assert(
    fc.property(costs, costs, fc.nat(80), (first, later, times) => {
      const order = new Order(
        (flow) => weightOfFlow(flow, () => 1),
        () => "requests",
      );
      const jobOf = ([flow, cost]: [string, number]): Waiting => {
        const arrival = arrivals++;
        const times = { effectiveAt: 0, since: 0, arrival };
        return { job: `job_${arrival}`, tenant: tenantOfFlow(flow), flow, tokens: cost, priority: 0, ...times };
      };
      const size = (name: string) => order.lanes.get(name)?.size ?? 0;
      const isLive = () => size("a") + size("b") > 0;
      const largest = Math.max(...[...first, ...later].map(([, cost]) => cost));
      let [live, batches] = [0, 0];
      const starts = (most: number) => {
        for (let start = 0; start < most; start++) {
          const waits = isLive();
          const next = order.next(GATE);
          if (!next) return;
          if (!waits) [live, batches] = [0, 0];
          else if (isBatches(next.flow)) batches += next.tokens;
          else live += next.tokens;
          expect(batches).toBeLessThanOrEqual(2 * (live / 1_000 + largest));
        }
      };
      for (const each of first) order.add(jobOf(each));
      starts(times);
      for (const each of later) order.add(jobOf(each));
      starts(Number.POSITIVE_INFINITY);
      expect(order.size).toBe(0);
    }),
    { numRuns: 500 },
  );
});
