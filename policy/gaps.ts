/**
 * How many jobs of a flow were seen to start for each job of one of its lines. In strict order a job's rank tells how many start before it; where packing lets
 * one kind go ahead of the other, it does not. Counted while the line waits, over as many past starts as the line is long: as far back as there is to look
 * ahead. Counted in starts and not in time, so that windows, pauses and bursts do not matter.
 */
export type Gaps = { readonly since: number; readonly mean: number; readonly seen: number };

export const UNSEEN: Gaps = { since: 0, mean: 0, seen: 0 };

/** How many past starts count: as many as the line is long, within these bounds. */
const COUNTED = { least: 64, most: 4_096 };
/** Fewer starts say nothing. */
const ENOUGH = 16;

/** Somebody waits again. `starts`: all starts of the flow until now. */
export function began(gaps: Gaps, starts: number): Gaps {
  return { ...gaps, since: starts };
}

/** A job of the line has started; with it, `length` jobs were waiting there. `starts` includes it. */
export function startedOne({ mean, seen, since }: Gaps, starts: number, length: number): Gaps {
  const weight = Math.max(1 / (seen + 1), 2 / (1 + Math.min(COUNTED.most, Math.max(COUNTED.least, length))));
  return { since: starts, mean: mean + weight * (starts - since - mean), seen: seen + 1 };
}

/** How many jobs of the flow start before one that has `ahead` others of its line before it; null while too few were seen. */
export function before({ mean, seen, since }: Gaps, starts: number, ahead: number): number | null {
  return seen < ENOUGH ? null : ahead * mean + Math.max(0, mean - 1 - (starts - since));
}
