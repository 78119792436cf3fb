/** Two limiters, of requests and of tokens (by weight). Both refill as upstream does. */
import Bottleneck from "bottleneck";
import { ANSWER_TOKENS, BURST_SECONDS, LIMITS } from "./backlog.ts";
import { program } from "./program.ts";

/** The shortest that it supports. */
const INTERVAL_MS = 250;
/** Of the burst, as much as Sluice holds back: otherwise some calls arrive before upstream has refilled. */
const HELD_BACK_SECONDS = 1;

const refilling = (perSecond: number) => ({
  reservoir: perSecond * (BURST_SECONDS - HELD_BACK_SECONDS),
  reservoirIncreaseAmount: (perSecond * INTERVAL_MS) / 1_000,
  reservoirIncreaseInterval: INTERVAL_MS,
  reservoirIncreaseMaximum: perSecond * (BURST_SECONDS - HELD_BACK_SECONDS),
});

program((calls, ask, { parallel }) => {
  const tokens = new Bottleneck(refilling(LIMITS.tpm / 60));
  const requests = new Bottleneck({ maxConcurrent: parallel, ...refilling(LIMITS.rpm / 60) });
  // One within the other: `chain` would take the weight along.
  return calls.map((call) => tokens.schedule({ weight: Math.max(call.tokens, ANSWER_TOKENS) }, () => requests.schedule(() => ask(call))));
});
