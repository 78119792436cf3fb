/** Calls that had to wait in their dispatchers leave late: a window holds no more of them, even if the coordinator restarted while they waited. */
import { expect, it } from "vitest";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { COMMITTED, openDesk, type Started } from "./desk.ts";

const [LIMIT, MINUTE_MS, WAITED_MS] = [100, 60_000, 8_000];
const problem = { status: 502, type: "server_error", code: "mailbox_unreachable", message: "", param: null };
const UNSENT: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem, unsent: true };

it.each([
  ["lives on", 1, false],
  ["is made anew", 1, true],
  ["is made anew, in their second attempts", 2, true],
])("a coordinator that %s: no window overflows", (_, attempts, anew) => {
  const desk = openDesk({ rpm: LIMIT, tpm: 1_000_000, window_seconds: 60, ramp_tpm: null });
  const { passes, send, started, state, turn } = desk;
  const answer = (calls: Started[], outcome: Outcome, more: { headersMs: number | null; waitedMs?: number }) => {
    for (const { attempt, dispatcher, job } of calls)
      turn((book, now) => settle(book, { dispatcher, boot: "b", settlements: [{ job, attempt, outcome, ...more }] }, now, () => 0.5));
  };
  send("a", 10, LIMIT);
  passes(state.now + 1_000);
  for (let attempt = 1; attempt < attempts; attempt++) {
    answer(started.splice(0), UNSENT, { headersMs: null });
    passes(state.now + 10_000);
  }
  expect(started).toHaveLength(LIMIT);
  state.now += WAITED_MS - 2_000;
  if (anew) desk.restart();
  state.now = started.at(-1)!.at + WAITED_MS + 600;
  answer(started, COMMITTED, { headersMs: 500, waitedMs: WAITED_MS });
  send("a", 10, LIMIT);
  passes(state.now + MINUTE_MS + 10_000);
  expect(started).toHaveLength(2 * LIMIT);
  const left = started.map(({ at }, index) => (index < LIMIT ? at + WAITED_MS : at));
  for (const from of left) expect(left.filter((at) => at >= from && at < from + MINUTE_MS).length).toBeLessThanOrEqual(LIMIT);
});
