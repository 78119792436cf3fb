/** A pool that was told to slow down, and whose limit changes meanwhile. */
import { expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { openDesk } from "./desk.ts";

const SLOW: Outcome = { kind: "slow_down", retryAfterMs: null };
const TPM = 600_000;

it("its limit is lowered to what the cut leaves -> that is what it uses: the two do not multiply", () => {
  const { end, passes, send, started, state, told } = openDesk({ rpm: 60_000, tpm: TPM, ramp_tpm: null });
  send("a", 1_000, 5_000);
  let ended = 0;
  const runs = (seconds: number) => {
    for (const until = state.now + seconds * 1_000; state.now < until; ) {
      passes(state.now + 1_000);
      for (; ended < started.length; ended++) end(started[ended]!.job);
    }
  };
  runs(180);
  passes(state.now + 1_000);
  end(started[ended++]!.job, SLOW);
  told(TPM / 2);
  runs(60);
  const before = started.length;
  runs(60);
  expect(started.length - before).toBeGreaterThan(270);
  expect(started.length - before).toBeLessThan(330);
});
