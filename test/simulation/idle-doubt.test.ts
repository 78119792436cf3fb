/** A pool that was refused, and that nobody asked anything of for hours. */
import { expect, it } from "vitest";
import { cancel } from "../../durable-objects/coordinator/cancel.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { openDesk } from "./desk.ts";

const REFUSED: Outcome = { kind: "rate_limited", retryAfterMs: null };

it.each([
  ["asleep", true],
  ["awake for others", false],
])("%s -> one refusal is no alarm; that nothing is taken for minutes is", (_, sleeps) => {
  const { end, notices, passes, restart, send, started, state, turn } = openDesk({ rpm: 600, tpm: 1_000_000, ramp_tpm: null });
  const jobs = send("a", 100, 23).map(({ job }) => job);
  for (const { job } of started.slice(0, 22)) end(job, REFUSED);
  end(started[22]!.job);
  turn((book, now) => cancel(book, jobs, now));
  expect(notices).toMatchObject([{ event: "pool_refused" }]);
  notices.length = 0;
  state.now += 8 * 3_600_000;
  if (sleeps) restart();
  let ended = started.length;
  send("a", 100);
  for (const until = state.now + 300_000; state.now < until; passes(state.now + 1_000)) {
    for (; ended < started.length; ended++) end(started[ended]!.job, REFUSED);
    if (state.now < until - 240_000) expect(notices).toEqual([]);
  }
  expect(notices).toMatchObject([{ event: "pool_halted" }]);
});
