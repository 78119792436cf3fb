/**
 * Law: if a call took more than its charge while another tenant competed with it, the excess is paid to whoever waits, even if they are away for a moment. It
 * is forgiven if nobody competed with the call, or once the others have been away for long.
 */
import { expect, it } from "vitest";
import type { Order } from "../../policy/order.ts";
import { always, filled, gate, job, tenants } from "./lanes.ts";

const DEBT = 20;
const MINUTE = 60_000;

const start = (order: Order, times: number, now = 0) => tenants(Array.from({ length: times }, () => order.next(gate(always, now))!));

function add(order: Order, tenant: string, count: number): void {
  for (let index = 0; index < count; index++) order.add(job(tenant));
}

/** A's call turned out to have taken `DEBT` more than it was charged. */
function owes(order: Order): void {
  const { competed } = order.charged(order.next(gate(always))!);
  order.credit("a", -DEBT, competed);
}

/** Tenant b waited when a's call started; it has left since, and a has started one more. */
function left(now = 0): Order {
  const order = filled([..."aaaaaaaaaaaaaaaaaaaab"].map((tenant) => job(tenant)));
  owes(order);
  expect(start(order, 2, now)).toBe("ba");
  return order;
}

it("its rival's line was empty when it started -> what it owes is paid when he is back", () => {
  const order = left();
  add(order, "b", 40);
  expect(start(order, 24)).toBe(`${"b".repeat(DEBT + 1)}aba`);
});

it("starts again and again while its rival is away pay nothing, and add nothing", () => {
  const order = left();
  start(order, 10);
  add(order, "b", 40);
  expect(start(order, 24)).toBe(`${"b".repeat(DEBT + 1)}aba`);
});

it("calls that nobody competed with -> who comes finds nothing owed", () => {
  const order = filled([..."aaaaaaaaaa"].map((tenant) => job(tenant)));
  owes(order);
  start(order, 2);
  add(order, "b", 10);
  expect(start(order, 6)).toBe("bababa");
});

it.each([
  ["four minutes: it is paid", 4, "bbbbbb"],
  ["six minutes: nothing is owed any more", 6, "bababa"],
])("nobody else has started for %s", (_, minutes, starts) => {
  const order = left();
  start(order, 1, minutes * MINUTE);
  add(order, "b", 10);
  expect(start(order, 6, minutes * MINUTE)).toBe(starts);
});

it.each([
  [4, "bbbbbb"],
  [6, "bababa"],
])("%i minutes with a restart: the same", (minutes, starts) => {
  const before = left();
  const order = filled([..."aaaaaaaaaa"].map((tenant) => job(tenant)));
  order.recall(JSON.parse(JSON.stringify(before.standing())), () => null);
  start(order, 1, minutes * MINUTE);
  add(order, "b", 10);
  expect(start(order, 6, minutes * MINUTE)).toBe(starts);
});

it("others had as much while it waited -> it has paid, and owes no more when they leave", () => {
  const order = filled([..."aaaaaaaaaa", ..."b".repeat(DEBT + 2)].map((tenant) => job(tenant)));
  owes(order);
  expect(start(order, DEBT + 3)).toBe(`${"b".repeat(DEBT + 1)}ab`);
  start(order, 2);
  add(order, "b", 10);
  expect(start(order, 6)).toBe("bababa");
});
