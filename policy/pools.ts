/** Which pool a model spends from: the most specific pattern wins, then the pool named `default`. */
import type { PoolsConfig } from "../schemas/settings.ts";

const DEFAULT_POOL = "default";

export function poolOf(pools: PoolsConfig, model: string): string | null {
  let best: { pool: string; length: number } | null = null;
  for (const [pool, config] of Object.entries(pools)) {
    for (const pattern of config.models) {
      if (matches(pattern, model) && (!best || pattern.length > best.length)) best = { pool, length: pattern.length };
    }
  }
  return best?.pool ?? (DEFAULT_POOL in pools ? DEFAULT_POOL : null);
}

/** `*` at the end of a pattern stands for any rest. */
export function matches(pattern: string, model: string): boolean {
  return pattern.endsWith("*") ? model.startsWith(pattern.slice(0, -1)) : pattern === model;
}
