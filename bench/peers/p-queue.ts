/** With `strict`: so many calls in any interval, wherever it begins. */
import PQueue from "p-queue";
import { AT_ONCE, BURST_SECONDS } from "./backlog.ts";
import { program } from "./program.ts";

program((calls, ask, { parallel }) => {
  const queue = new PQueue({ concurrency: parallel, intervalCap: AT_ONCE.requests, interval: BURST_SECONDS * 1_000, strict: true });
  return calls.map((call) => queue.add(() => ask(call)));
});
