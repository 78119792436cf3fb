/** The figures of the closing table. All are measured in this run, or follow from what was measured. */
import type { PoolState } from "../../../schemas/queue.ts";
import type { Done, Track } from "./track.ts";

export type Budget = {
  limits: PoolState["limits"];
  /** What upstream would have let through at once when the first job came. */
  burst: { requests: number; tokens: number };
};

export type Optimum = {
  seconds: number;
  limitedBy: string;
  /** When the last call could have started, seconds. */
  lastStart: number;
};

/**
 * The least time in which anybody could have had these answers. Of each resource, upstream lets `burst` through at once and the rest at its rate, so the last
 * call cannot start before (total demand - burst) / rate; after that it still takes the time of a mean call. The demand is what the API says it reserves
 * (prompt characters / 4 + the most that may be answered). Nobody can be faster than the longest call either, which is what counts when the burst holds
 * everything.
 */
export function optimum({ limits, burst }: Budget, jobs: number, tokens: number, done: readonly Done[]): Optimum {
  const calls = done.map(({ calledAt, endedAt }) => endedAt - calledAt);
  const all = sum(calls);
  const bounds: [by: string, seconds: number][] = [
    ["requests per minute", Math.max(0, jobs - burst.requests) / (limits.rpm / 60)],
    ["tokens per minute", Math.max(0, tokens - burst.tokens) / (limits.tpm / 60)],
  ];
  // All places are busy at best, the last call included.
  if (limits.concurrency !== null) bounds.push(["concurrency", all / limits.concurrency - all / calls.length]);
  const [by, starts] = bounds.reduce((most, bound) => (bound[1] > most[1] ? bound : most));
  const budget = starts + all / calls.length;
  const longest = Math.max(...calls);
  const bound = longest > budget ? { seconds: longest, limitedBy: "the longest call" } : { seconds: budget, limitedBy: by };
  return { ...bound, lastStart: starts };
}

/**
 * Each tenant's share of the service while both had work waiting: from when the service had answered both submissions until one of them had started its last
 * job. A job's service is its cost in the resource that is scarcer for it, by the tokens it used. Null if nothing started in that time.
 */
export function shares(tracks: readonly Track[], limits: PoolState["limits"]): Map<string, number> | null {
  const from = Math.max(...tracks.map(({ acceptedAt }) => acceptedAt));
  const until = Math.min(...tracks.map((track) => Math.max(...track.done().map(({ startedAt }) => startedAt))));
  const service = tracks.map((track) => {
    const started = track.done().filter(({ startedAt }) => startedAt >= from && startedAt <= until);
    return sum(started.map(({ tokens }) => Math.max(1 / limits.rpm, tokens / limits.tpm)));
  });
  const whole = sum(service);
  return whole === 0 ? null : new Map(tracks.map(({ tenant }, index) => [tenant, service[index]! / whole]));
}

/** Time from queued to started: the mean, and the 95th percentile. */
export function waits(done: readonly Done[]): { mean: number; p95: number } {
  const waited = done.map(({ queuedAt, startedAt }) => startedAt - queuedAt).sort((a, b) => a - b);
  return { mean: sum(waited) / waited.length, p95: waited[Math.ceil(waited.length * 0.95) - 1]! };
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
