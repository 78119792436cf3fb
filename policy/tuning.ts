/** What operators set over what is configured, and what is then in force. */
import type { PoolConfig, PoolsConfig } from "../schemas/settings.ts";
import type { PoolTuning, TenantTuning, Tune, Tunings } from "../schemas/tuning.ts";

/** Wishes that are remembered: whoever repeats one does so within seconds. */
const WISHES_KEPT = 32;

export const UNTUNED: Tunings = { pools: {}, tenants: {}, wishes: [] };

/** What is set for a pool or tenant by that name. Names are free to choose, and may be those of built-in properties (`constructor`). */
export function setOf<T>(all: Readonly<Record<string, T>>, id: string): T | undefined {
  return Object.hasOwn(all, id) ? all[id] : undefined;
}

/**
 * What is set once a wish is fulfilled; `before` itself if it changes nothing, or was fulfilled already. A value that equals the configured one is still set: a
 * deployment may configure another.
 */
export function retuned(before: Tunings, { id, kind, reset, set, wish }: Tune): Tunings {
  if (before.wishes.includes(wish)) return before;
  const of = kind === "pool" ? "pools" : "tenants";
  const known = setOf<object>(before[of], id) ?? {};
  const after = { ...(reset ? {} : known), ...set };
  if (JSON.stringify(after) === JSON.stringify(known)) return before;
  const others = Object.entries(before[of]).filter(([name]) => name !== id);
  const all = Object.fromEntries(Object.keys(after).length > 0 ? [...others, [id, after]] : others);
  return { ...before, [of]: all, wishes: [...before.wishes, wish].slice(-WISHES_KEPT) };
}

/** The pools as they are in force. What is set for one that is not configured waits until it is again. */
export function tunedPools(configured: PoolsConfig, { pools }: Pick<Tunings, "pools">): PoolsConfig {
  const tuned = Object.entries(configured).map(([id, config]) => [id, tunedPool(config, setOf(pools, id))] as const);
  return Object.fromEntries(tuned) as PoolsConfig;
}

function tunedPool(config: PoolConfig, set: PoolTuning = {}): PoolConfig {
  return { ...config, ...set, learn: within(set, config) } as PoolConfig;
}

/** A limit that is set is a bound: headers do not raise it further. */
function within(set: PoolTuning, { learn }: PoolConfig): PoolConfig["learn"] {
  if (learn === false) return false;
  return Object.fromEntries(Object.entries(learn).filter(([name]) => !(name.replace("max_", "") in set)));
}

type TenantLimits = { weight: number; rpm: number | null; tpm: number | null; maxQueued: number | null };

/** A tenant's limits as they are in force. */
export function tunedTenant(configured: TenantLimits, { max_queued, ...tuning }: TenantTuning = {}): TenantLimits {
  return { ...configured, ...tuning, maxQueued: max_queued === undefined ? configured.maxQueued : max_queued } as TenantLimits;
}
