/** Upstream asks for a day: a job of a pool that upstream takes again is called before that. */
import { expect, it } from "vitest";
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
