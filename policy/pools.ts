/** Which pool a model spends from: the most specific pattern wins, then the pool named `default`. */
import { DEFAULT_POOL, type PoolConfig, type PoolsConfig } from "../schemas/settings.ts";
import { type Budget, type Limits, type Meter, openBudget } from "./budget.ts";
import { SMALL_SECONDS, WHOLE_SECONDS } from "./burst.ts";
import { Learned } from "./learned.ts";
import { EVEN } from "./sliding.ts";

export function poolOf(pools: PoolsConfig, model: string): string | null {
  let best: { pool: string; says: number } | null = null;
  for (const [pool, config] of Object.entries(pools)) {
    for (const pattern of config.models) {
      // The model's own name says more than any pattern.
      const says = pattern === model ? Number.POSITIVE_INFINITY : pattern.length;
      if (matches(pattern, model) && (!best || says > best.says)) best = { pool, says };
    }
  }
  return best?.pool ?? (DEFAULT_POOL in pools ? DEFAULT_POOL : null);
}

/** `*` at the end of a pattern stands for any rest. */
export function matches(pattern: string, model: string): boolean {
  return pattern.endsWith("*") ? model.startsWith(pattern.slice(0, -1)) : pattern === model;
}

/** A pool's budget as configured, with nothing spent. `leaveAtOnce`: how many calls can leave at once. */
export function poolBudget(config: PoolConfig, leaveAtOnce: number | null = null): Budget {
  return openBudget({ ...limitsOf(config), leaveAtOnce });
}

/** The same with the greatest limits that the operator allows, configured or set since: what does not fit this never will. */
export function greatestBudget(...configs: readonly PoolConfig[]): Budget {
  const [first, ...others] = configs.map(learnedMost);
  const largest = (meter: Meter) =>
    others
      .map(({ meters }) => meters.find(({ resource }) => resource === meter.resource) ?? null)
      .reduce<Meter | null>((most, other) => (most === null || other === null ? null : other.whole > most.whole ? other : most), meter);
  return { ...first!, meters: first!.meters.flatMap((meter) => largest(meter) ?? []) };
}

/** The budget with the greatest limits that may be learned. */
function learnedMost(config: PoolConfig): Budget {
  const { rpm, tpm, rpd, tpd } = mostOf(config);
  const orNone = (limit: number | null, most: number | null) => (limit === null || most === null ? null : Math.max(limit, most));
  const minutes = { rpm: Math.max(config.rpm, rpm), tpm: Math.max(config.tpm, tpm) };
  return openBudget({ ...limitsOf(config), ...minutes, rpd: orNone(config.rpd, rpd), tpd: orNone(config.tpd, tpd) });
}

/** What can be learned about a pool from `now` (ms) on; null if learning is off. */
export function learnedOf(config: PoolConfig, now: number, leaveAtOnce: number | null = null): Learned | null {
  const { learn, rpm, tpm } = config;
  if (learn === false) return null;
  return new Learned({ limits: { ...limitsOf(config), leaveAtOnce, rpm, tpm }, most: mostOf(config), refund: learn.refund ?? false }, now);
}

/** How much of a minute's limits may be spent at once, as configured; seconds. */
export function burstOf(config: PoolConfig): number {
  return limitsOf(config).burstSeconds;
}

function mostOf({ learn, rpm, tpm, rpd, tpd }: PoolConfig): { rpm: number; tpm: number; rpd: number | null; tpd: number | null } {
  if (learn === false) return { rpm, tpm, rpd, tpd };
  return { rpm: learn.max_rpm ?? rpm, tpm: learn.max_tpm ?? tpm, rpd: learn.max_rpd ?? rpd, tpd: learn.max_tpd ?? tpd };
}

function limitsOf(config: PoolConfig): Limits {
  const { burst_seconds: written, window_seconds: windowSeconds, transit_ms: transitMs } = config;
  const burst = written === null ? unwritten(windowSeconds) : { burstSeconds: written };
  return { ...config, ...burst, windowSeconds, transitMs };
}

/**
 * A burst that is not configured is learned. With windows none is: a tenth goes at once, because after a window that all went at once nothing is left for
 * whoever comes next, and no answer tells of a limit that is cut meanwhile.
 */
function unwritten(windowSeconds: number | null): { burstSeconds: number; mostBurstSeconds?: number } {
  if (windowSeconds !== null) return { burstSeconds: windowSeconds * EVEN };
  return { burstSeconds: SMALL_SECONDS, mostBurstSeconds: WHOLE_SECONDS };
}
