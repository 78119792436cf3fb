/** Where a waiting job stands, when it will start, and whom it waits for. */
import { costMs, dominantKind, paceMs, paceOf } from "../../policy/budget.ts";
import { calibrate } from "../../policy/calibration.ts";
import { type Ahead, etaOf, inSeconds } from "../../policy/eta.ts";
import { isBatches } from "../../policy/flow.ts";
import type { Waiting } from "../../policy/queue.ts";
import { type Binding, binding } from "../../policy/why.ts";
import type { Book, Entry, Pool } from "./book.ts";
import { outOfTurn, prolonged } from "./condition/shown.ts";

/** `rawMs`: the estimate before calibration. */
export type Reckoning = Binding & { rawMs: number; position: number; ahead: { jobs: number; tokens: number; own: number } };

/** The position is as the order stands now; the wait also counts jobs still to come. Tokens of the jobs ahead are counted at the pool's mean. */
export function reckon(book: Book, { row, address }: Entry, waiting: Waiting, now: number): Reckoning {
  const pool = book.pools.get(row.pool)!;
  const rank = pool.order.rank(waiting);
  const cost = { requests: costMs(pool.budget, "requests", row.tokens), tokens: costMs(pool.budget, "tokens", row.tokens) };
  const position = pool.order.position(waiting, cost, rank);
  const own = Math.min(rank + liveBefore(pool, waiting), position - 1);
  const mean = pool.waitingTokens / Math.max(1, pool.order.size);
  const behind = (jobs: number): Ahead => ({ jobs: jobs + 1, tokens: jobs * mean + row.tokens, callMs: pool.callMs });
  const until = pool.order.before(waiting, cost, paceMs(paceOf(pool.budget), mean), now);
  const ownUntil = Math.min(until.own + liveBefore(pool, waiting), until.jobs);
  const inTurn = etaOf(pool.budget, behind(until.jobs), row.tokens, now);
  const bound = binding({
    pool: inTurn,
    alone: ownUntil === until.jobs ? inTurn : etaOf(pool.budget, behind(ownUntil), row.tokens, now),
    cap: etaOf(book.tenant(address.tenant).budget, behind(own), row.tokens, now),
  });
  const rawMs = bound.eta.p50 * 1_000;
  const told = calibrate(pool.expectations.of(lineOf(pool, waiting)), rawMs);
  const eta = { ...bound.eta, p50: inSeconds(told.p50), p95: inSeconds(told.p95) };
  const behindPool = prolonged(book, pool, address.tenant, behind(position - 1), eta, now);
  const wait = outOfTurn(book, pool, address.tenant, { jobs: own + 1, tokens: row.tokens }, behindPool);
  const share = wait !== behindPool ? "vain" : wait === eta ? bound.share : null;
  return { eta: wait, share, rawMs, position, ahead: { jobs: position - 1, tokens: Math.round((position - 1) * mean), own } };
}

/** The line of its flow that a job stands in: by the resource it takes the greater share of. */
export function lineOf({ budget }: Pool, { flow, tokens }: Waiting): string {
  return `${dominantKind(budget, tokens)} ${flow}`;
}

/** How many of the tenant's jobs in this pool start before the job's flow: for a batch, all live ones. */
function liveBefore({ order: { lanes } }: Pool, waiting: Waiting): number {
  return isBatches(waiting.flow) ? (lanes.get(waiting.tenant)?.size ?? 0) : 0;
}
