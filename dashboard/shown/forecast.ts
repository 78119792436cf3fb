/** What other limits would do to the waiting jobs, as the service computes it: shown before they are set. */
import type { Kind } from "./fields.ts";
import { duration } from "./words.ts";

/** `words`: puts the service's answer into words. */
export type Forecast = { request: { method: "POST"; path: string; body: object }; words: (answer: unknown) => string };

/** Part of the answer to `POST /v1/simulate`, seconds from now. */
type Last = { last: number };
type Simulated = { pools: PoolSimulated[] };
type PoolSimulated = { id: string; depth: number; as_is: Last; simulated: Last; tenants: { id: string; as_is: Last; simulated: Last }[] };

/** Null if the change has no effect on waiting jobs. */
export function forecast(kind: Kind, id: string, { max_queued: _, ...set }: Record<string, number | null>): Forecast | null {
  if (Object.keys(set).length === 0) return null;
  // Built by fromEntries, so that a pool with the name of an object's setter becomes a member all the same.
  const body = { [`${kind}s`]: Object.fromEntries([[id, set]]) };
  return { request: { method: "POST", path: "/v1/simulate", body }, words: (answer) => wordsOf(kind, id, answer as Simulated) };
}

function wordsOf(kind: Kind, id: string, { pools }: Simulated): string {
  const waits =
    kind === "pool"
      ? pools.filter((pool) => pool.id === id && pool.depth > 0)
      : pools.flatMap(({ tenants }) => tenants.filter((each) => each.id === id));
  if (waits.length === 0) return `No job of this ${kind} is waiting.`;
  const [before, after] = (["as_is", "simulated"] as const).map((of) => duration(Math.max(...waits.map((each) => each[of].last))));
  return `All waiting jobs would have started in about ${after}; with the current settings, in about ${before}. This assumes that no more jobs come and that nothing is paused or halted.`;
}
