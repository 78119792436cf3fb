/** What other limits would do to the waiting jobs, as the service computes it: shown before they are set. */
import type { Kind } from "./fields.ts";
import { duration } from "./words.ts";

/** `words`: puts the service's answer into words. */
export type Forecast = { request: { method: "POST"; path: string; body: object }; words: (answer: unknown) => string };

/** Part of the answer to `POST /v1/simulate`, seconds from now. `never`: jobs that would never start; `last`: of the others, null if there are none. */
type Last = { last: number | null; never: number };
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
  const [before, after] = (["as_is", "simulated"] as const).map((of) => {
    const lasts = waits.flatMap((each) => each[of].last ?? []);
    return { last: lasts.length > 0 ? Math.max(...lasts) : null, never: waits.reduce((sum, each) => sum + each[of].never, 0) };
  });
  const isPlain = before!.never + after!.never === 0 && before!.last !== null && after!.last !== null;
  const sentence = isPlain
    ? `All waiting jobs would have started in about ${duration(after!.last!)}; with the current settings, in about ${duration(before!.last!)}.`
    : `With these settings, ${outcome(after!)}; with the current ones, ${outcome(before!)}. A job that reserves more than the limits ever let through at once never starts.`;
  return `${sentence} This assumes that no more jobs come and that nothing is paused or halted.`;
}

function outcome({ last, never }: Last): string {
  if (last === null) return "no waiting job would ever start";
  if (never === 0) return `all waiting jobs would have started in about ${duration(last)}`;
  return `${never} of the waiting jobs would never start, and the others would have started in about ${duration(last)}`;
}
