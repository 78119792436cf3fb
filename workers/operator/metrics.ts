/** `GET /metrics`: the figures of `/v1/queue` for Prometheus (text format 0.0.4). */
import { callCoordinator } from "../../platform/objects.ts";
import type { PoolCondition, PoolState, QueueState } from "../../schemas/queue.ts";
import type { Context } from "../ingress/context.ts";

type Labels = Record<string, string>;
type Sample = { value: number; labels: Labels };
type Metric = { name: string; type: "gauge" | "counter"; help: string; samples: Sample[] };

const HEADERS = { "content-type": "text/plain; version=0.0.4; charset=utf-8", "cache-control": "no-store" };
const STATES: readonly PoolCondition["state"][] = ["normal", "slowed", "open", "halted", "paused"];

export async function getMetrics({ env, settings }: Context): Promise<Response> {
  const state = await callCoordinator(env, settings.region, (stub) => stub.inspect(undefined));
  return new Response(metricsText(state), { headers: HEADERS });
}

/** Counters start again when the coordinator wakes, which Prometheus treats as a reset; those of doubtful spend are kept. */
function metricsText(state: QueueState): string {
  return metricsOf(state)
    .filter(({ samples }) => samples.length > 0)
    .map(textOf)
    .join("");
}

function metricsOf(state: QueueState): Metric[] {
  return [
    gauge("sluice_paused", "1 while an operator has paused everything.", [{ value: Number(state.paused), labels: {} }]),
    gauge("sluice_draining", "1 while new jobs are refused from every tenant.", [{ value: Number(state.draining), labels: {} }]),
    ...ofPools(state.pools),
    ...ofTenants(state.pools),
    ...ofCalls(state.pools),
  ];
}

function ofPools(pools: PoolState[]): Metric[] {
  const each = (value: (pool: PoolState) => number) => pools.map((pool) => ({ value: value(pool), labels: { pool: pool.id } }));
  const both = (of: "used" | "free" | "foreign") =>
    pools.flatMap((pool) => Object.entries(pool[of]).map(([resource, value]) => ({ value, labels: { pool: pool.id, resource } })));
  const limits = pools.flatMap(({ id, limits }) =>
    Object.entries(limits).flatMap(([limit, value]) => (value === null ? [] : { value, labels: { pool: id, limit } })),
  );
  const states = pools.flatMap(({ condition, id }) =>
    STATES.map((state) => ({ value: Number(condition.state === state), labels: { pool: id, state } })),
  );
  return [
    gauge(
      "sluice_pool_depth",
      "Queued jobs.",
      each(({ depth }) => depth),
    ),
    gauge(
      "sluice_pool_in_flight",
      "Calls in flight.",
      each(({ in_flight }) => in_flight),
    ),
    gauge(
      "sluice_pool_scheduled",
      "Jobs whose not_before is still to come.",
      each(({ scheduled }) => scheduled),
    ),
    gauge(
      "sluice_pool_oldest_wait_seconds",
      "Longest wait of a queued job.",
      each((pool) => pool.oldest_wait_seconds),
    ),
    gauge("sluice_pool_limit", "Limits in force: per minute (rpm, tpm), per day (rpd, tpd), and concurrent calls (concurrency).", limits),
    gauge("sluice_pool_used", "Part of the per-minute limits that is spent and has not refilled yet.", both("used")),
    gauge("sluice_pool_free", "Part of the per-minute limits that may be spent right now.", both("free")),
    gauge(
      "sluice_pool_foreign_per_minute",
      "What others spend per minute on the same key, as far as upstream's headers show.",
      both("foreign"),
    ),
    gauge("sluice_pool_state", "1 for the state that the pool is in, 0 for the others.", states),
    gauge(
      "sluice_pool_share",
      "Fraction of the pool's rate that may be used.",
      each(({ condition }) => condition.share),
    ),
    gauge(
      "sluice_pool_draining",
      "1 while new jobs of the pool are refused.",
      each(({ draining }) => Number(draining)),
    ),
  ];
}

function ofTenants(pools: PoolState[]): Metric[] {
  const each = (value: (tenant: PoolState["tenants"][number]) => number) =>
    pools.flatMap(({ id, tenants }) => tenants.map((tenant) => ({ value: value(tenant), labels: { pool: id, tenant: tenant.id } })));
  return [
    gauge(
      "sluice_tenant_depth",
      "Queued jobs of the tenant.",
      each(({ depth }) => depth),
    ),
    gauge(
      "sluice_tenant_in_flight",
      "Calls in flight of the tenant.",
      each(({ in_flight }) => in_flight),
    ),
    gauge(
      "sluice_tenant_oldest_wait_seconds",
      "Longest wait of a queued job of the tenant.",
      each((tenant) => tenant.oldest_wait_seconds),
    ),
  ];
}

function ofCalls(pools: PoolState[]): Metric[] {
  const ended = pools.flatMap(({ ended, id }) =>
    // A coordinator that still runs an older version, during a rollout, counts none.
    Object.entries(ended ?? {}).map(([outcome, value]) => ({ value, labels: { pool: id, outcome } })),
  );
  const tokens = pools.flatMap(({ estimates, id }) => [
    { value: estimates.reserved_tokens, labels: { pool: id, kind: "reserved" } },
    { value: estimates.used_tokens, labels: { pool: id, kind: "used" } },
    { value: estimates.exceeded_tokens, labels: { pool: id, kind: "exceeded" } },
  ]);
  const doubts = (value: "unknown_outcomes" | "possible_duplicates" | "possible_duplicate_tokens") =>
    pools.flatMap(({ doubts, id }) => doubts.tenants.map((tenant) => ({ value: tenant[value], labels: { pool: id, tenant: tenant.id } })));
  return [
    counter("sluice_calls_ended_total", "Upstream calls that have ended, by outcome.", ended),
    counter("sluice_call_tokens_total", "Tokens of answered calls: reserved, used, and used beyond the reservation.", tokens),
    counter("sluice_unknown_outcomes_total", "Calls whose outcome is unknown.", doubts("unknown_outcomes")),
    counter("sluice_possible_duplicates_total", "Calls of unknown outcome that were repeated.", doubts("possible_duplicates")),
    counter(
      "sluice_possible_duplicate_tokens_total",
      "Tokens reserved by calls that were repeated after an unknown outcome.",
      doubts("possible_duplicate_tokens"),
    ),
  ];
}

function gauge(name: string, help: string, samples: Sample[]): Metric {
  return { name, type: "gauge", help, samples };
}

function counter(name: string, help: string, samples: Sample[]): Metric {
  return { name, type: "counter", help, samples };
}

function textOf({ help, name, samples, type }: Metric): string {
  const lines = samples.map(({ labels, value }) => `${name}${labelsOf(labels)} ${value}`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
}

function labelsOf(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length > 0 ? `{${pairs.join(",")}}` : "";
}

/** Escapes a label value: a pool's name may contain anything. */
function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
