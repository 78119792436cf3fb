/**
 * How many jobs of a flow start for each of one of its lines, as it was seen: in order they take turns as they came, but where packing lets one kind ahead of the other their ranks
 * do not tell. Counted while the line waits, and as far back as it is long: as much of the past as is ahead. In starts and not in time, so that windows, pauses and bursts do not matter to it.
 */
export type Gaps = { readonly since: number; readonly mean: number; readonly seen: number };

export const UNSEEN: Gaps = { since: 0, mean: 0, seen: 0 };

/** Of a line that is shorter so many starts count, and no more of a longer one. */
const COUNTED = { least: 64, most: 4_096 };
/** Fewer say nothing. */
const ENOUGH = 16;

/** Somebody waits again; `starts`: of the flow until now. */
export function began(gaps: Gaps, starts: number): Gaps {
  return { ...gaps, since: starts };
}

/** One of the line has started, of which `length` waited; `starts` counts it. */
export function startedOne({ mean, seen, since }: Gaps, starts: number, length: number): Gaps {
  const weight = Math.max(1 / (seen + 1), 2 / (1 + Math.min(COUNTED.most, Math.max(COUNTED.least, length))));
  return { since: starts, mean: mean + weight * (starts - since - mean), seen: seen + 1 };
}

/** How many of the flow start before a job that `ahead` others of its line are before; null while too few were seen. */
export function before({ mean, seen, since }: Gaps, starts: number, ahead: number): number | null {
  return seen < ENOUGH ? null : ahead * mean + Math.max(0, mean - 1 - (starts - since));
}
