/** A reservoir of requests that is filled again at every interval, as in its README. */
import Bottleneck from "bottleneck";
import { AT_ONCE, BURST_SECONDS } from "./backlog.ts";
import { program } from "./program.ts";

program((calls, ask, { parallel }) => {
  const limiter = new Bottleneck({
    maxConcurrent: parallel,
    reservoir: AT_ONCE.requests,
    reservoirRefreshAmount: AT_ONCE.requests,
    reservoirRefreshInterval: BURST_SECONDS * 1_000,
  });
  return calls.map((call) => limiter.schedule(() => ask(call)));
});
