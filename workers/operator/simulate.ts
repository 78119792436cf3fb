/** `POST /v1/simulate`: what other limits or weights would do to the jobs that wait now. */
import { z } from "zod";
import { callCoordinator } from "../../platform/objects.ts";
import { type Settings, tenantOf } from "../../platform/settings.ts";
import { type Cleared, type Crowd, clear, type Source } from "../../policy/clearing.ts";
import { AHEAD_MS } from "../../policy/ledger.ts";
import { setOf, tunedTenant } from "../../policy/tuning.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Inspected, Load, PoolState, QueueState } from "../../schemas/queue.ts";
import { PoolTuning, TenantTuning } from "../../schemas/tuning.ts";
import { readAs } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { invalid, json, refuse } from "../ingress/respond.ts";

/** Without `max_queued`, which makes no difference to jobs that already wait. */
export const Wish = z.strictObject({
  pools: z.record(z.string(), PoolTuning).default({}),
  tenants: z.record(z.string(), TenantTuning.omit({ max_queued: true })).default({}),
});
type Wish = z.infer<typeof Wish>;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const AS_IT_IS: Wish = { pools: {}, tenants: {} };

export async function simulate({ env, request, settings }: Context): Promise<Response> {
  const wish = await readAs(request, Wish, {});
  if (!wish.ok) return refuse(wish.problem);
  const state = await callCoordinator(env, settings.region, (stub) => stub.inspect(wish.value.pools));
  const problem = unknown(wish.value, state, settings);
  if (problem) return refuse(problem);
  return json({ object: "simulation", pools: state.pools.map((pool) => told(pool, state, settings, wish.value)) });
}

/** Names a pool or tenant that `PATCH` would not know either, as far as the queue shows them. */
function unknown({ pools, tenants }: Wish, state: QueueState, settings: Settings): Problem | null {
  const pool = Object.keys(pools).find((id) => !state.pools.some((each) => each.id === id));
  if (pool !== undefined) return invalid(`No pool "${pool.slice(0, 64)}" is configured.`, "pools", "pool_not_found", 404);
  const known = new Set([
    ...settings.tenants.keys(),
    ...Object.keys(state.overrides.tenants),
    ...state.paused_tenants,
    ...state.draining_tenants,
  ]);
  for (const each of state.pools) for (const { id } of each.tenants) known.add(id);
  const tenant = Object.keys(tenants).find((id) => !known.has(id));
  return tenant === undefined ? null : invalid(`No key names a tenant "${tenant.slice(0, 64)}".`, "tenants", "tenant_not_found", 404);
}

function told(pool: PoolState, state: Inspected, settings: Settings, wish: Wish) {
  const asIs = outcome(pool, state, settings, AS_IT_IS, "asIs");
  const simulated = outcome(pool, state, settings, wish, "simulated");
  const tenants = pool.tenants.flatMap(({ batches, depth, id }) => [
    { id, batch: false, depth: depth - batches.depth },
    { id, batch: true, depth: batches.depth },
  ]);
  return {
    id: pool.id,
    depth: pool.depth,
    as_is: inAll(pool, asIs),
    simulated: inAll(pool, simulated),
    tenants: tenants
      .filter(({ depth }) => depth > 0)
      .map((each) => ({ ...each, as_is: waits(asIs, each), simulated: waits(simulated, each) })),
  };
}

/** `never`: how many jobs of each crowd are too large to start; `cleared` is about the others. */
type Outcome = { cleared: Cleared[]; never: Map<string, number> };

function outcome(pool: PoolState, state: Inspected, settings: Settings, wish: Wish, of: "asIs" | "simulated"): Outcome {
  const large = state.tooLarge?.filter((each) => each.pool === pool.id) ?? [];
  const loads = new Map(large.map((each) => [nameOf(each.tenant, each.batch), each[of]]));
  const crowds = crowdsOf(pool, state, settings, wish).map((crowd) => without(crowd, loads.get(crowd.id)));
  const never = new Map([...loads].map(([id, { jobs }]) => [id, jobs]));
  return { cleared: clear(crowds, sourcesOf(pool, settings, setOf(wish.pools, pool.id))), never };
}

function without(crowd: Crowd, load: Load = { jobs: 0, tokens: 0 }): Crowd {
  return { ...crowd, jobs: crowd.jobs - load.jobs, tokens: crowd.tokens - load.tokens };
}

function inAll({ depth }: PoolState, { cleared, never }: Outcome) {
  const last = cleared.length > 0 ? inSeconds(Math.max(...cleared.map((each) => each.last))) : depth > 0 ? null : 0;
  return { last, never: [...never.values()].reduce((sum, jobs) => sum + jobs, 0) };
}

function waits({ cleared, never }: Outcome, { batch, id }: { id: string; batch: boolean }) {
  const name = nameOf(id, batch);
  const found = cleared.find((each) => each.id === name);
  const at = (mark: "half" | "nearly" | "last") => (found ? inSeconds(found[mark]) : null);
  return { p50: at("half"), p95: at("nearly"), last: at("last"), never: never.get(name) ?? 0 };
}

/** Unambiguous, because a tenant's name contains no slash. */
function nameOf(tenant: string, batch: boolean): string {
  return batch ? `${tenant}/` : tenant;
}

function crowdsOf({ tenants }: PoolState, { overrides }: QueueState, settings: Settings, wish: Wish): Crowd[] {
  return tenants.flatMap(({ batches, depth, id, tokens }) => {
    const known = tunedTenant(tenantOf(settings, id), setOf(overrides.tenants, id));
    const { rpm, tpm, weight } = tunedTenant(known, setOf(wish.tenants, id));
    const caps = { requests: rpm && rpm / MINUTE_MS, tokens: tpm && tpm / MINUTE_MS };
    const live = { id, tenant: id, jobs: depth - batches.depth, tokens: tokens - batches.tokens, weight, isBatch: false, caps };
    return [live, { ...live, id: nameOf(id, true), jobs: batches.depth, tokens: batches.tokens, isBatch: true }];
  });
}

/** What was spent stays spent, up to the debt that a lowered limit carries over (policy/ledger.ts). */
function sourcesOf(pool: PoolState, settings: Settings, set: PoolTuning = {}): Source[] {
  const { call_seconds, in_flight, limits, used, used_day } = pool;
  const { concurrency, rpd, rpm, tpd, tpm } = { ...limits, ...set } as PoolState["limits"];
  const minute = (counts: Source["counts"], limit: number) =>
    source(counts, limit / MINUTE_MS, (limit / MINUTE_MS) * atOnceMs(counts, pool, settings, set), used[counts]);
  return [
    minute("requests", rpm),
    minute("tokens", tpm),
    ...(rpd === null ? [] : [source("requests", rpd / DAY_MS, rpd, used_day.requests)]),
    ...(tpd === null ? [] : [source("tokens", tpd / DAY_MS, tpd, used_day.tokens)]),
    ...(concurrency === null ? [] : [source("requests", concurrency / (call_seconds * 1_000), concurrency, in_flight)]),
  ];
}

/** How much of a per-minute limit may be spent at once, in ms of its rate; for an upstream that counts in windows, a whole window. */
function atOnceMs(counts: Source["counts"], { burst_seconds, id }: PoolState, settings: Settings, set: PoolTuning): number {
  return (setOf(settings.pools, id)?.window_seconds ?? set.burst_seconds ?? burst_seconds[counts]) * 1_000;
}

function source(counts: Source["counts"], perMs: number, whole: number, spent: number): Source {
  // A whole request may be owed, however little of one the bucket holds.
  const most = counts === "requests" ? Math.max(1, whole) : whole;
  return { counts, perMs, whole, level: whole - Math.min(spent, most + perMs * AHEAD_MS) };
}

/** To a tenth of a second: more is not known. Null for what never comes. */
function inSeconds(ms: number): number | null {
  return Number.isFinite(ms) ? Math.round(ms / 100) / 10 : null;
}
