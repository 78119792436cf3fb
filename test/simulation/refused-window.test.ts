/** Upstream counts in windows, including what it refuses: a window holds no more large calls that are refused than calls that are taken. */
import { expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { COMMITTED, openDesk } from "./desk.ts";

const [TPM, TOKENS, MINUTE_MS] = [100_000, 40_000, 60_000];

it.each<[string, Outcome]>([
  ["taken", COMMITTED],
  ["refused", { kind: "rate_limited", retryAfterMs: null }],
])("calls of two fifths of a window that are %s -> no more than two in one", (_, outcome) => {
  const { end, passes, send, started, state } = openDesk({ rpm: 600, tpm: TPM, window_seconds: 60, ramp_tpm: null });
  send("a", TOKENS, 100);
  let ended = 0;
  for (const until = state.now + 15 * MINUTE_MS; state.now < until; passes(state.now + 500))
    for (; ended < started.length; ended++) end(started[ended]!.job, outcome);
  expect(started.length).toBeGreaterThan(10);
  for (const { at } of started) expect(started.filter((each) => each.at >= at && each.at < at + MINUTE_MS).length).toBeLessThanOrEqual(2);
});
