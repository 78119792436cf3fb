/** Which pool a model spends from: the most specific pattern wins, then the pool named `default`. */
import type { PoolConfig, PoolsConfig } from "../schemas/settings.ts";
import { type Budget, type Limits, openBudget } from "./budget.ts";
import { Learned } from "./learned.ts";

const DEFAULT_POOL = "default";

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

/** A pool's budget, full, as its configuration has it. */
export function poolBudget(config: PoolConfig): Budget {
  return openBudget(limitsOf(config));
}

/** What can be learned of a pool from `now` (ms) on; null if nothing is to be. */
export function learnedOf(config: PoolConfig, now: number): Learned | null {
  const { learn, rpm, tpm } = config;
  if (learn === false) return null;
  const most = { rpm: learn.max_rpm ?? rpm, tpm: learn.max_tpm ?? tpm, rpd: learn.max_rpd ?? config.rpd, tpd: learn.max_tpd ?? config.tpd };
  return new Learned({ limits: { ...limitsOf(config), rpm, tpm }, most, refund: learn.refund ?? false }, now);
}

function limitsOf(config: PoolConfig): Limits {
  const { burst_seconds: burstSeconds, window_seconds: windowSeconds, transit_ms: transitMs } = config;
  return { ...config, burstSeconds, windowSeconds, transitMs };
}
