/** What is checked from outside, by the log of sends alone. */
import type { SimJob } from "./loads.ts";
import { DELAY } from "./world.ts";

/** By then a job that was submitted is in the coordinator's order. */
const ARRIVAL_MS = 10;

type Sends = { at: number; job: SimJob }[];
export type Overflow = { from: number; requests: number; tokens: number };

/**
 * Whether some window of upstream could overflow, whatever each call's delay is within the jitter: what leaves within the window and
 * the jitter may arrive within the window. Null if none could. Linear in the sends.
 */
export function overflowOf(sends: Sends, windowMs: number, limit: { requests: number; tokens: number }): Overflow | null {
  const span = windowMs + DELAY.most - DELAY.least;
  let first = 0;
  let tokens = 0;
  for (let last = 0; last < sends.length; last++) {
    tokens += sends[last]!.job.prompt + sends[last]!.job.most;
    while (sends[first]!.at <= sends[last]!.at - span) {
      tokens -= sends[first]!.job.prompt + sends[first]!.job.most;
      first++;
    }
    const requests = last - first + 1;
    if (requests > limit.requests + 1e-6 || tokens > limit.tokens * (1 + 1e-9)) return { from: sends[first]!.at, requests, tokens };
  }
  return null;
}

/**
 * The greatest difference of two tenants' service in the scarcer resource while both had work waiting, over the cost of the largest job.
 * A pair's reckoning begins anew when one of the two runs out of work.
 */
export function fairnessGap(sends: Sends, jobs: SimJob[], scale: { rpm: number; tpm: number }): number {
  const cost = (job: SimJob) => Math.max(1 / scale.rpm, (job.prompt + job.output) / scale.tpm);
  const largest = jobs.reduce((most, job) => Math.max(most, cost(job)), 0);
  const tenants = [...new Set(jobs.map((job) => job.tenant))];
  let worst = 0;
  for (const [index, a] of tenants.entries()) {
    for (const b of tenants.slice(index + 1)) worst = Math.max(worst, gapOf(a, b, sends, jobs, cost));
  }
  return worst / largest;
}

function gapOf(a: string, b: string, sends: Sends, jobs: SimJob[], cost: (job: SimJob) => number): number {
  const moves = [
    // Told apart: what leaves before the coordinator has heard of both was nobody's to share.
    ...jobs.filter(({ tenant }) => tenant === a || tenant === b).map((job) => ({ at: job.at + ARRIVAL_MS, job, waits: 1 })),
    ...sends.filter(({ job }) => job.tenant === a || job.tenant === b).map(({ at, job }) => ({ at, job, waits: -1 })),
  ].sort((x, y) => x.at - y.at || y.waits - x.waits);
  const waiting: Record<string, number> = { [a]: 0, [b]: 0 };
  let [difference, least, most, worst] = [0, 0, 0, 0];
  for (const [index, { at, job, waits }] of moves.entries()) {
    if (waits < 0) difference += job.tenant === a ? cost(job) : -cost(job);
    const both = waiting[a]! > 0 && waiting[b]! > 0;
    // What one turn lets go leaves together, in no order: letters go by dispatcher.
    if (both && moves[index + 1]?.at !== at) [least, most] = [Math.min(least, difference), Math.max(most, difference)];
    waiting[job.tenant]! += waits;
    if (waiting[a]! <= 0 || waiting[b]! <= 0) [difference, least, most] = [0, 0, 0];
    worst = Math.max(worst, most - least);
  }
  return worst;
}
