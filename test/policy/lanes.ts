/** Jobs, gates and orders for tests of which job is next. */
import type { Answer, Gate } from "../../policy/gate.ts";
import { Order } from "../../policy/order.ts";
import type { Cost } from "../../policy/places.ts";
import type { Waiting } from "../../policy/queue.ts";

let arrivals = 0;
/** A job; its cost is its `tokens`. */
export const job = (tenant: string, cost = 1, effectiveAt = 0): Waiting => {
  const arrival = arrivals++;
  return { job: `job_${arrival}`, tenant, flow: tenant, tokens: cost, priority: 0, effectiveAt, since: effectiveAt, arrival };
};
export const costOf = ({ tokens: reserved }: Waiting, tokens = reserved): number => tokens;
/** The cost of a job that takes requests only. */
export const even = (requests: number): Cost => ({ requests, tokens: 0 });
export const always = () => "start" as const;
export const alike = () => "requests" as const;
/** All jobs are of one kind, so that no job goes ahead of another. */
export const gate = (starts: (waiting: Waiting) => Answer, now = 0): Gate => ({
  ...{ starts, costMs: costOf, delayMs: () => 0, idle: () => null },
  now,
});
export const equal = () => 1;

export function filled(jobs: Waiting[], weightOf: (tenant: string) => number = equal): Order {
  const order = new Order(weightOf, alike);
  for (const each of jobs) order.add(each);
  return order;
}

export function drain(order: Order): Waiting[] {
  const out: Waiting[] = [];
  for (let next = order.next(gate(always)); next; next = order.next(gate(always))) out.push(next);
  return out;
}
export const tenants = (jobs: Waiting[]): string => jobs.map((each) => each.tenant).join("");
