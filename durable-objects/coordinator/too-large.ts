/** How many of the waiting jobs a pool's limits would never hold: those in force, and others that somebody thinks of. */
import { type Budget, neverFits } from "../../policy/budget.ts";
import { isBatches } from "../../policy/flow.ts";
import { poolBudget } from "../../policy/pools.ts";
import { setOf } from "../../policy/tuning.ts";
import type { Inspected, Load, TooLarge } from "../../schemas/queue.ts";
import type { PoolConfig } from "../../schemas/settings.ts";
import type { Overrides } from "../../schemas/tuning.ts";
import type { Book, Pool } from "./book.ts";
import { inspect } from "./inspect.ts";
import { inForce } from "./limits.ts";
import { sampledAt } from "./summary.ts";

/** Jobs of one flow. `sizes`: what some of them reserve (summary.ts); empty if all are alike. */
type Waiting = { flow: string; tenant: string; size: number; tokens: number; sizes: readonly number[] };

export function inspected(book: Book, wished: Overrides["pools"] | undefined, now: number): Inspected {
  const state = inspect(book, now);
  return wished ? { ...state, tooLarge: [...book.pools.values()].flatMap((pool) => tooLarge(book, pool, setOf(wished, pool.id))) } : state;
}

function tooLarge(book: Book, pool: Pool, set: object | undefined): TooLarge[] {
  const wished = set ? poolBudget({ ...book.settings.pools[pool.id]!, ...inForce(book, pool.id), ...set } as PoolConfig) : pool.budget;
  const byFlow = new Map<string, TooLarge>();
  for (const jobs of waiting(book, pool)) {
    const [asIs, simulated] = [pool.budget, wished].map((budget) => beyond(budget, jobs));
    if (asIs!.jobs + simulated!.jobs === 0) continue;
    const { flow, tenant } = jobs;
    const sum = byFlow.get(flow) ?? { pool: pool.id, tenant, batch: isBatches(flow), asIs: NONE, simulated: NONE };
    byFlow.set(flow, { ...sum, asIs: plus(sum.asIs, asIs!), simulated: plus(sum.simulated, simulated!) });
  }
  return [...byFlow.values()];
}

/** What the pool shows as queued: jobs in memory one by one, resting ones by segment. */
function* waiting(book: Book, { id }: Pool): Iterable<Waiting> {
  for (const { address, flow, row } of book.entries.values()) {
    const { attempt, phase, pool, tokens } = row;
    if (pool !== id || !(phase === "waiting" || (phase === "delayed" && attempt > 0))) continue;
    yield { flow, tenant: address.tenant, size: 1, tokens, sizes: [] };
  }
  for (const run of book.resting.runs) if (run.pool === id) yield run;
}

const NONE: Load = { jobs: 0, tokens: 0 };

/**
 * The jobs that this budget never holds. Of a segment of 32 jobs of different sizes, the count may be two off: its summary names every fourth size, and reading
 * each segment from storage would stop the coordinator for seconds.
 */
function beyond(budget: Budget, { size, sizes, tokens }: Waiting): Load {
  if (sizes.length === 0) return neverFits(budget, tokens / size) ? { jobs: size, tokens } : NONE;
  const first = sizes.findIndex((each) => neverFits(budget, each));
  if (first < 0) return NONE;
  if (first === 0) return { jobs: size, tokens };
  const [fits, not] = [first - 1, first].map((index) => sampledAt(index, sizes.length, size));
  const jobs = size - Math.ceil((fits! + not!) / 2);
  const large = sizes.slice(first);
  const mean = large.reduce((sum, each) => sum + each, 0) / large.length;
  return { jobs, tokens: Math.min(Math.round(jobs * mean), tokens - (size - jobs) * sizes[0]!) };
}

function plus(a: Load, b: Load): Load {
  return { jobs: a.jobs + b.jobs, tokens: a.tokens + b.tokens };
}
