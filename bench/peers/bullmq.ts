/** A worker with a limiter. A call that is still refused pauses the whole queue and goes back into it, as its guide to rate limits shows. */
import { Queue, RateLimitError, Worker } from "bullmq";
import { Redis } from "ioredis";
import { RateLimitError as Refused } from "openai";
import { AT_ONCE, BURST_SECONDS, type Call } from "./backlog.ts";
import { program } from "./program.ts";

const NAME = "calls";

program((calls, ask, { parallel, redis }) => {
  const open = () => new Redis({ path: redis!, maxRetriesPerRequest: null });
  const queue = new Queue<Call>(NAME, { connection: open() });
  const process = async ({ data }: { data: Call }) => {
    try {
      await ask(data);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await queue.rateLimit(Number(error.headers.get("retry-after") ?? 1) * 1_000);
      throw new RateLimitError();
    }
  };
  const worker = new Worker<Call>(NAME, process, {
    connection: open(),
    concurrency: parallel,
    limiter: { max: AT_ONCE.requests, duration: BURST_SECONDS * 1_000 },
  });
  const ends = new Map(calls.map(({ name }) => [name, Promise.withResolvers<void>()]));
  worker.on("completed", ({ data }) => ends.get(data.name)!.resolve());
  worker.on("failed", (job, error) => ends.get(job!.data.name)!.reject(error));
  queue.addBulk(calls.map((data) => ({ name: NAME, data })));
  return [...ends.values()].map(({ promise }) => promise);
});
