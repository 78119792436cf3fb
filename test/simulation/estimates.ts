/** How good the promised times of start were. */
import type { SimJob } from "./loads.ts";

/** What a job was told, s, and when, ms. */
export type Told = Map<string, { at: number; p50: number; p95: number }>;

/** `off`: median of |p50 - truth| / truth; `bias`: median of the same with its sign; `covered`: the share that started by p95. */
export type EtaError = { off: number; bias: number; covered: number; waits: number };

type Wait = { told: { p50: number; p95: number }; truth: number };

/** Waits of more than a second, s, of jobs that came after `since` (ms). */
export function waitsOf(jobs: SimJob[], starts: Map<string, number>, told: Told, since = 0): Wait[] {
  return jobs.flatMap(({ at, id }): Wait[] => {
    const [said, start] = [told.get(id), starts.get(id)];
    if (at < since || !said || start === undefined || start - said.at < 1_000) return [];
    return [{ told: said, truth: (start - said.at) / 1_000 }];
  });
}

/** Null if nobody waited. */
export function errorOf(waits: Wait[]): EtaError | null {
  if (waits.length === 0) return null;
  const errors = waits.map(({ told, truth }) => (told.p50 - truth) / truth);
  return {
    off: median(errors.map(Math.abs)),
    bias: median(errors),
    covered: waits.filter(({ told, truth }) => truth <= told.p95).length / waits.length,
    waits: waits.length,
  };
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}
