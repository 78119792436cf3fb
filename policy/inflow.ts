/** How fast jobs have come in lately. Jobs of one instant are a backlog, not a stream: only the first few of them count. */
export type Inflow = { readonly at: number; readonly together: number; readonly perMs: number };

export const STILL: Inflow = { at: 0, together: 0, perMs: 0 };

/** Time constant with which older jobs count less and less, ms. */
const MEMORY_MS = 120_000;
/** At most this many jobs of one ms count. */
const TOGETHER = 8;

export function came({ at, perMs, together }: Inflow, now: number): Inflow {
  const since = Math.max(0, now - at);
  const beside = since === 0 ? together + 1 : 1;
  const one = beside > TOGETHER ? 0 : 1 / MEMORY_MS;
  return { at: Math.max(at, now), together: beside, perMs: perMs * Math.exp(-since / MEMORY_MS) + one };
}

/** Until jobs were watched for this long, ms, they may be a backlog that was sent one by one: the shorter the time, the less of it is believed. */
const LOOK_MS = 20_000;

/** What watching for a time is worth. `believed`: the part of the rate that is believed. `seen`: how much of the memory that time fills. */
type Look = { readonly believed: number; readonly seen: number };

/** `since`: when the first job of any flow came, ms. The result is the same for all flows. */
export function lookAt(since: number, now: number): Look {
  const looked = Math.max(0, now - since);
  return { believed: Math.min(1, looked / LOOK_MS), seen: 1 - Math.exp(-Math.max(LOOK_MS, looked) / MEMORY_MS) };
}

/** Jobs per ms. */
export function inflowAt({ at, perMs }: Inflow, since: number, now: number, { believed, seen } = lookAt(since, now)): number {
  return perMs === 0 ? 0 : (believed * perMs * Math.exp(-Math.max(0, now - at) / MEMORY_MS)) / seen;
}
