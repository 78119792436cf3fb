/**
 * What people use today, each written from its public description, at the account's limits. They see what a client sees: refusals and
 * `retry-after`. None is written to be bad: where a description leaves a choice, the better one is taken.
 */
import type { Scale, SimJob } from "./loads.ts";
import type { Client, World } from "./world.ts";

type Make = (world: World, scale: Scale) => Client;

/**
 * A limiter on requests alone, with a fixed number per fixed window. A refusal pauses the queue for `retry-after`, and the job goes back to the front (BullMQ's
 * `limiter` and `worker.rateLimit()`).
 */
const fixedWindow: Make = (world, { rpm }) => {
  const queue: SimJob[] = [];
  let [left, pausedUntil, opened] = [rpm, 0, false];
  const drain = () => {
    if (!opened && queue.length > 0) {
      opened = true;
      left = rpm;
      world.time.after(60_000, () => {
        opened = false;
        drain();
      });
    }
    while (queue.length > 0 && left > 0 && world.time.now >= pausedUntil) {
      left--;
      send(queue.shift()!);
    }
  };
  const send = (job: SimJob) =>
    world.call(job, (outcome) => {
      if (outcome.kind === "done") return world.finish(job);
      queue.unshift(job);
      pausedUntil = Math.max(pausedUntil, world.time.now + outcome.retryAfterMs);
      world.time.at(pausedUntil, drain);
    });
  return {
    submit: (job) => {
      queue.push(job);
      drain();
    },
  };
};

/** A reservoir of requests, filled up every minute, and a retry after five seconds (bottleneck's `reservoir` and `failed` event). */
const reservoir: Make = (world, { rpm }) => {
  const queue: SimJob[] = [];
  let [left, filling] = [rpm, false];
  const drain = () => {
    if (!filling && queue.length > 0) {
      filling = true;
      world.time.after(60_000, () => {
        filling = false;
        left = rpm;
        drain();
      });
    }
    for (; queue.length > 0 && left > 0; left--) send(queue.shift()!);
  };
  const send = (job: SimJob) =>
    world.call(job, (outcome) => {
      if (outcome.kind === "done") return world.finish(job);
      world.time.after(5_000, () => {
        queue.push(job);
        drain();
      });
    });
  return {
    submit: (job) => {
      queue.push(job);
      drain();
    },
  };
};

/**
 * Two capacities that refill continuously and start full. The head of the line waits for both, a refusal pauses everything for 15 s, and a job
 * is given up after five refusals (OpenAI's cookbook, parallel request processor).
 */
const refillLoop: Make = (world, { rpm, tpm }) => {
  const queue: { job: SimJob; left: number }[] = [];
  const again: { job: SimJob; left: number }[] = [];
  let [requests, tokens, seen, pausedUntil, planned] = [rpm, tpm, 0, 0, false];
  const drain = () => {
    planned = false;
    const { now } = world.time;
    requests = Math.min(rpm, requests + ((now - seen) * rpm) / 60_000);
    tokens = Math.min(tpm, tokens + ((now - seen) * tpm) / 60_000);
    seen = now;
    for (;;) {
      const next = again[0] ?? queue[0];
      if (!next) return;
      const cost = next.job.prompt + next.job.most;
      const at = Math.max(pausedUntil, now + (Math.max(0, 1 - requests) * 60_000) / rpm, now + (Math.max(0, cost - tokens) * 60_000) / tpm);
      if (at > now + 1e-6) return plan(at + 1);
      (again.length > 0 ? again : queue).shift();
      requests--;
      tokens -= cost;
      send(next);
    }
  };
  const plan = (at: number) => {
    if (planned) return;
    planned = true;
    world.time.at(at, drain);
  };
  const send = (entry: { job: SimJob; left: number }) =>
    world.call(entry.job, (outcome) => {
      if (outcome.kind === "done") return world.finish(entry.job);
      pausedUntil = world.time.now + 15_000;
      if (--entry.left > 0) again.push(entry);
      else world.lost++;
      plan(pausedUntil);
    });
  return {
    submit: (job) => {
      queue.push({ job, left: 5 });
      plan(world.time.now);
    },
  };
};

/**
 * Every call at once. The SDK retries twice: after `retry-after` if that is at most a minute, else after half a second, doubled each time, minus a random part
 * of up to a quarter.
 */
const sdkRetries: Make = (world) => {
  const send = (job: SimJob, count: number) =>
    world.call(job, (outcome) => {
      if (outcome.kind === "done") return world.finish(job);
      if (count > 2) {
        world.lost++;
        return;
      }
      const backoff = Math.min(8_000, 500 * 2 ** (count - 1)) * world.random.between(0.75, 1);
      const asked = outcome.retryAfterMs;
      world.time.after(asked > 0 && asked <= 60_000 ? asked : backoff, () => send(job, count + 1));
    });
  return { submit: (job) => send(job, 1) };
};

export const STRATEGIES: Record<string, Make> = {
  "fixed window of requests": fixedWindow,
  "reservoir of requests": reservoir,
  "refill loop, head of the line": refillLoop,
  "SDK retries alone": sdkRetries,
};
