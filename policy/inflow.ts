/** How fast jobs come in, as of late. Those of one instant are a heap that waits, and not a stream: but for a few of them they do not count. */
export type Inflow = { readonly at: number; readonly together: number; readonly perMs: number };

export const STILL: Inflow = { at: 0, together: 0, perMs: 0 };

/** What is older counts less and less, ms. */
const MEMORY_MS = 120_000;
/** So many of one ms count. */
const TOGETHER = 8;

export function came({ at, perMs, together }: Inflow, now: number): Inflow {
  const since = Math.max(0, now - at);
  const beside = since === 0 ? together + 1 : 1;
  const one = beside > TOGETHER ? 0 : 1 / MEMORY_MS;
  return { at: Math.max(at, now), together: beside, perMs: perMs * Math.exp(-since / MEMORY_MS) + one };
}

/** Until there was so much time to look, ms, what came may be a heap that was sent one by one: the shorter, the less it counts, and the less is believed of it. */
const LOOK_MS = 20_000;

/** What a look of so long tells: the part of it that is believed, and how much of the memory it fills. */
type Look = { readonly believed: number; readonly seen: number };

/** `since`: when the first of all came. The same for all flows. */
export function lookAt(since: number, now: number): Look {
  const looked = Math.max(0, now - since);
  return { believed: Math.min(1, looked / LOOK_MS), seen: 1 - Math.exp(-Math.max(LOOK_MS, looked) / MEMORY_MS) };
}

/** Jobs a ms. */
export function inflowAt({ at, perMs }: Inflow, since: number, now: number, { believed, seen } = lookAt(since, now)): number {
  return perMs === 0 ? 0 : (believed * perMs * Math.exp(-Math.max(0, now - at) / MEMORY_MS)) / seen;
}
