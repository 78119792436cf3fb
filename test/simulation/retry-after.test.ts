/** Upstream asks for a day: a job of a pool that upstream takes again is called before that. */
import { expect, it } from "vitest";
import { LEVERS } from "../../durable-objects/coordinator/condition/levers.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { openDesk } from "./desk.ts";

const DAY_MS = 86_400_000;
const problem = { status: 503, type: "server_error", code: null, message: "x", param: null };

it.each<[string, Outcome]>([
  ["rate", { kind: "rate_limited", retryAfterMs: DAY_MS }],
  ["slow_down", { kind: "slow_down", retryAfterMs: DAY_MS }],
  ["billing", { kind: "halted", reason: "billing", retryAfterMs: DAY_MS, problem }],
])("%s", (_, outcome) => {
  const desk = openDesk();
  const [one] = desk.send("a", 100);
  desk.state.now += 500;
  desk.end(one!.job, outcome);
  const from = desk.state.now;
  desk.passes(from + 2 * DAY_MS);
  const at = desk.started.filter(({ job }) => job === one!.job)[1]?.at ?? Number.POSITIVE_INFINITY;
  expect(at - from).toBeLessThan(15 * 60_000);
});

it.each<[string, Outcome, number]>([
  ["the rate", { kind: "rate_limited", retryAfterMs: 600_000 }, 1],
  ["want of capacity", { kind: "no_capacity", retryAfterMs: 600_000 }, 1],
  ["a failure of its own", { kind: "retryable", unknown: false, retryAfterMs: 600_000, problem }, 0],
])("an operator resumes a pool whose only job waits for minutes, for %s", (_, outcome, calls) => {
  const { end, passes, send, started, state, turn } = openDesk();
  send("a", 100);
  for (let ended = 0; ended < 3; passes(state.now + 1_000)) for (; ended < started.length; ended++) end(started[ended]!.job, outcome);
  const [before, at] = [started.length, state.now];
  turn((book, now) => LEVERS.resume(book, { kind: "pool", id: "p" }, now));
  passes(at + 5_000);
  expect(started.length - before).toBe(calls);
});
