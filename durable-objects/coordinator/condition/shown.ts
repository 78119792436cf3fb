/** How a pool stands, in the words of `GET /v1/queue` and of a job's `why`, and what that means for a wait. */
import { paceMs, paceOf } from "../../../policy/budget.ts";
import { clearedAt, isSpent, readyAt } from "../../../policy/credit.ts";
import { eta, inSeconds } from "../../../policy/eta.ts";
import { flowOf } from "../../../policy/flow.ts";
import * as pace from "../../../policy/pace.ts";
import * as ramp from "../../../policy/ramp.ts";
import { probeAt } from "../../../policy/stop.ts";
import { turns } from "../../../policy/vain.ts";
import type { Eta } from "../../../schemas/job.ts";
import type { PoolCondition } from "../../../schemas/queue.ts";
import type { Book, Pool } from "../book.ts";
import { CODES, LONG_SILENCE_MS } from "./refusals.ts";

/** If a call was taken this recently, credit is spent and regained from moment to moment, and does not lengthen waits. ms. */
const DOUBT_MS = 10_000;

const NORMAL: PoolCondition = { state: "normal", reason: null, code: null, since: null, next_probe_at: null, failed_probes: 0, share: 1 };

export function shown(book: Book, pool: Pool, now: number): PoolCondition {
  const condition = conditionOf(book, pool, now);
  // The share grows all the time: round down, so that no more is shown than may be used.
  return { ...condition, share: Math.floor(condition.share * 1_000) / 1_000 };
}

function conditionOf(book: Book, pool: Pool, now: number): PoolCondition {
  const { credit, cut, pausedAt, silence, spent, stop } = book.conditions.of(pool.id);
  const share = cut ? pace.shareAt(cut, now) : 1;
  const paused = pausedAt ?? book.conditions.pausedAt;
  if (paused !== null) return { ...NORMAL, state: "paused", reason: "operator", since: paused / 1_000, share };
  if (stop) {
    const { code, failedProbes: failed_probes, reason, since } = stop;
    const at = probeAt(stop);
    const next_probe_at = Number.isFinite(at) ? inSeconds(at) : null;
    const state = reason === "failures" ? "open" : "halted";
    return { state, reason, code, since: since / 1_000, next_probe_at, failed_probes, share };
  }
  const silent = Math.max(pool.budget.heldUntil, silence?.until ?? 0) > now + LONG_SILENCE_MS;
  if ((credit && spent) || silent) {
    const next_probe_at = inSeconds(Math.max(silentUntil(book, pool), credit ? readyAt(credit, now) : now));
    const since = spent ? spent.since / 1_000 : null;
    const reason = spent?.reason ?? (!spent && cut ? "slow_down" : "rate_limit");
    return { ...NORMAL, state: "slowed", reason, code: CODES[reason], since, next_probe_at, share };
  }
  if (cut && share < 1) return { ...NORMAL, state: "slowed", reason: "slow_down", since: cut.at / 1_000, share };
  const since = book.aside.since(pool.id);
  if (since === null) return NORMAL;
  const next_probe_at = book.aside.probe(pool, now) && Number.isFinite(pool.wakeAt) ? inSeconds(pool.wakeAt) : null;
  return { ...NORMAL, state: "slowed", reason: "lowered_limit", since: since / 1_000, next_probe_at };
}

/** Until when nothing is dispatched because upstream asked for silence, ms. */
export function silentUntil({ conditions }: Book, { budget, id }: Pool): number {
  const { silence } = conditions.of(id);
  return Math.max(budget.heldUntil, silence ? Math.min(silence.nextAt, silence.until) : 0);
}

/** The scope of the operator's pause that holds a tenant's jobs in this pool; null if there is none. */
export function pausedBy({ conditions }: Book, pool: string, tenant: string): "all" | "pool" | "tenant" | null {
  if (conditions.pausedAt !== null) return "all";
  if (conditions.of(pool).pausedAt !== null) return "pool";
  return conditions.pausedTenants.has(tenant) ? "tenant" : null;
}

/** For a tenant whose calls in this pool come to nothing: how many in a row, and how many turns its next one counts as. Null for all others. */
export function inVain({ conditions }: Book, pool: string, tenant: string): { calls: number; turns: number } | null {
  const calls = conditions.of(pool).vain.get(tenant)?.times ?? 0;
  return turns(calls) > 1 ? { calls, turns: turns(calls) } : null;
}

/**
 * Lengthens a wait by those turns if others wait, but to no more than all that waits takes. `own`: the tenant's jobs that start until then, this one
 * included, and tokens per job.
 */
export function outOfTurn(book: Book, pool: Pool, tenant: string, own: { jobs: number; tokens: number }, wait: Eta): Eta {
  const known = inVain(book, pool.id, tenant);
  if (!known || wait.limited_by === "paused") return wait;
  const { lanes, size } = pool.order;
  const all = [false, true].reduce((sum, batch) => sum + (lanes.get(flowOf(tenant, batch))?.size ?? 0), 0);
  if (all === size) return wait;
  const waitMs = Math.min((own.jobs - 1) * known.turns, size) * paceMs(paceOf(pool.budget), own.tokens);
  return waitMs > wait.p50 * 1_000 ? eta(waitMs, "tenant_share") : wait;
}

/**
 * Lengthens a wait, as the budget estimates it, by the pool's condition. While the pool stands still it is the least that remains: from the next probe on,
 * or during a pause from now on, since nobody knows its end. `ahead`: what starts until then, this job included.
 */
export function prolonged(book: Book, pool: Pool, tenant: string, ahead: { jobs: number; tokens: number }, wait: Eta, now: number): Eta {
  const { credit, cut, provenAt, ramp: governor, stop } = book.conditions.of(pool.id);
  if (pausedBy(book, pool.id, tenant)) return { ...wait, limited_by: "paused" };
  if (stop) return eta(wait.p50 * 1_000 + Math.max(0, stop.nextProbeAt - now), "paused");
  const refused = credit && isSpent(credit, now) && now - provenAt > DOUBT_MS ? clearedAt(credit, ahead.jobs, now) - now : 0;
  if (refused > wait.p50 * 1_000) return eta(refused, "retry");
  const silence = silentUntil(book, pool);
  if (silence - now > wait.p50 * 1_000) return eta(silence - now, "retry");
  const costMs = cut ? ahead.jobs * paceMs(pace.paceFor(cut, paceOf(pool.budget)), ahead.tokens / Math.max(1, ahead.jobs)) : 0;
  const slowed = Math.max(cut ? pace.clearedAt(cut, costMs, now) : now, governor ? ramp.clearedAt(governor, ahead.tokens, now) : now);
  return slowed - now > wait.p50 * 1_000 ? eta(slowed - now, "ramp") : wait;
}
