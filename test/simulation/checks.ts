/** What is checked from outside, using only the log of sends. */
import type { SimJob } from "./loads.ts";
import { DELAY } from "./world.ts";

/** By then a submitted job is in the coordinator's order. */
const ARRIVAL_MS = 10;

type Sends = { at: number; job: SimJob }[];
export type Overflow = { from: number; requests: number; tokens: number };

/**
 * Whether some window of upstream could overflow, whatever each call's delay within the jitter: what leaves within the window plus
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
 * The greatest difference between two tenants' service in the scarcer resource while both had work waiting, relative to the cost of the largest job.
 * A pair is measured anew when one of the two runs out of work.
 */
export function fairnessGap(sends: Sends, jobs: SimJob[], scale: { rpm: number; tpm: number }): number {
  const cost = (job: SimJob) => Math.max(1 / scale.rpm, (job.prompt + job.output) / scale.tpm);
  const largest = jobs.reduce((most, job) => Math.max(most, cost(job)), 0);
  const tenants = movesOf(sends, jobs, cost);
  let worst = 0;
  for (const [index, a] of tenants.entries()) {
    for (const b of tenants.slice(index + 1)) worst = Math.max(worst, gapOf(a, b));
  }
  return worst / largest;
}

/** One tenant's arrivals, which cost nothing, and sends, in order. `order`: among those of one instant. */
type Moves = { at: number[]; cost: number[]; order: number[] };

function movesOf(sends: Sends, jobs: SimJob[], cost: (job: SimJob) => number): Moves[] {
  const tenants = new Map<string, { came: number[]; moves: Moves }>();
  for (const { at, tenant } of jobs) {
    const known = tenants.get(tenant) ?? { came: [], moves: { at: [], cost: [], order: [] } };
    tenants.set(tenant, known);
    // Set apart: what leaves before the coordinator has heard of both tenants was not there to be shared.
    known.came.push(at + ARRIVAL_MS);
  }
  for (const { came } of tenants.values()) came.sort((a, b) => b - a);
  const note = ({ at, cost, order }: Moves, ...move: [number, number, number]) => {
    at.push(move[0]);
    cost.push(move[1]);
    order.push(move[2]);
  };
  for (const [order, { at, job }] of sends.entries()) {
    const { came, moves } = tenants.get(job.tenant)!;
    while (came.length > 0 && came.at(-1)! <= at) note(moves, came.pop()!, 0, -1);
    note(moves, at, cost(job), order);
  }
  return [...tenants.values()].map(({ moves }) => moves);
}

function gapOf(a: Moves, b: Moves): number {
  const next = [0, 0];
  const waiting = [0, 0];
  let difference = 0;
  let least = 0;
  let most = 0;
  let worst = 0;
  for (;;) {
    const [ofA, ofB] = [next[0]! < a.at.length, next[1]! < b.at.length];
    if (!ofA && !ofB) return worst;
    const whose = !ofB || (ofA && isFirst(a, next[0]!, b, next[1]!)) ? 0 : 1;
    const moves = whose === 0 ? a : b;
    const at = moves.at[next[whose]!]!;
    const paid = moves.cost[next[whose]!++]!;
    difference += whose === 0 ? paid : -paid;
    // What one turn lets go leaves together, in no order: letters go out by dispatcher.
    const isLast = a.at[next[0]!] !== at && b.at[next[1]!] !== at;
    if (isLast && waiting[0]! > 0 && waiting[1]! > 0) {
      least = Math.min(least, difference);
      most = Math.max(most, difference);
    }
    waiting[whose]! += paid > 0 ? -1 : 1;
    if (waiting[0]! <= 0 || waiting[1]! <= 0) difference = least = most = 0;
    worst = Math.max(worst, most - least);
  }
}

function isFirst(a: Moves, ofA: number, b: Moves, ofB: number): boolean {
  return a.at[ofA]! < b.at[ofB]! || (a.at[ofA] === b.at[ofB] && a.order[ofA]! < b.order[ofB]!);
}
