/** How good the promised start times were. */
import type { SimJob } from "./loads.ts";

/** `off`: median of |p50 - truth| / truth; `bias`: median of the same with its sign; `covered`: the share that started by p95. */
export type EtaError = { off: number; bias: number; covered: number; waits: number };

type Wait = { told: { p50: number; p95: number }; truth: number };

/** Waits of more than a second, in s, of jobs that came after `since` (ms). */
export function waitsOf(jobs: SimJob[], since = 0): Wait[] {
  const waits: Wait[] = [];
  for (const { at, sentAt, told } of jobs) {
    if (at < since || !told || sentAt === null || sentAt - told.at < 1_000) continue;
    waits.push({ told, truth: (sentAt - told.at) / 1_000 });
  }
  return waits;
}

/** Null if nobody waited. */
export function errorOf(waits: Wait[]): EtaError | null {
  if (waits.length === 0) return null;
  const errors = Float64Array.from(waits, ({ told, truth }) => (told.p50 - truth) / truth);
  return {
    off: median(errors.map(Math.abs)),
    bias: median(errors),
    covered: waits.filter(({ told, truth }) => truth <= told.p95).length / waits.length,
    waits: waits.length,
  };
}

function median(numbers: Float64Array): number {
  return numbers.toSorted()[Math.floor(numbers.length / 2)]!;
}
