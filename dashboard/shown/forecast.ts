/** What other limits would do to the jobs that wait, as the service reckons it: said before they are set. */
import type { Kind } from "./fields.ts";
import { duration } from "./words.ts";

/** `words`: of the service's answer. */
export type Forecast = { request: { method: "POST"; path: string; body: object }; words: (answer: unknown) => string };

/** Of `POST /v1/simulate`, seconds from now. */
type Last = { last: number };
type Simulated = { pools: PoolSimulated[] };
type PoolSimulated = { id: string; depth: number; as_is: Last; simulated: Last; tenants: { id: string; as_is: Last; simulated: Last }[] };

/** Null of what does nothing to those that wait. */
export function forecast(kind: Kind, id: string, { max_queued: _, ...set }: Record<string, number | null>): Forecast | null {
  if (Object.keys(set).length === 0) return null;
  // A pool may be called as a setter of every object is, and is a member all the same.
  const body = { [`${kind}s`]: Object.fromEntries([[id, set]]) };
  return { request: { method: "POST", path: "/v1/simulate", body }, words: (answer) => wordsOf(kind, id, answer as Simulated) };
}

function wordsOf(kind: Kind, id: string, { pools }: Simulated): string {
  const waits =
    kind === "pool"
      ? pools.filter((pool) => pool.id === id && pool.depth > 0)
      : pools.flatMap(({ tenants }) => tenants.filter((each) => each.id === id));
  if (waits.length === 0) return `Nothing of this ${kind} waits now.`;
  const [before, after] = (["as_is", "simulated"] as const).map((of) => duration(Math.max(...waits.map((each) => each[of].last))));
  return `Its jobs that wait would all have started in about ${after}; as it is, in about ${before}. That is reckoned as if nothing more came and nothing stood still.`;
}
