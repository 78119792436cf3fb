/** What operators set over what is configured, and what is in force then. */
import type { PoolConfig, PoolsConfig } from "../schemas/settings.ts";
import type { PoolTuning, TenantTuning, Tune, Tunings } from "../schemas/tuning.ts";

export const UNTUNED: Tunings = { pools: {}, tenants: {} };

/** What is set once a wish is fulfilled. What is set as it is configured stays set: a deployment may configure it otherwise. */
export function retuned({ pools, tenants }: Tunings, { id, kind, reset, set }: Tune): Tunings {
  if (kind === "pool") return { pools: merged(pools, id, set, reset), tenants };
  return { pools, tenants: merged(tenants, id, set, reset) };
}

function merged<T extends object>(known: Record<string, T>, id: string, set: T, reset: boolean): Record<string, T> {
  const { [id]: before, ...others } = known;
  const after = { ...(reset ? {} : before), ...set } as T;
  return Object.keys(after).length > 0 ? { ...others, [id]: after } : others;
}

/** The pools as they are in force. What is set of one that is not configured waits until it is again. */
export function tunedPools(configured: PoolsConfig, { pools }: Tunings): PoolsConfig {
  const tuned = Object.entries(configured).map(
    ([id, config]) => [id, { ...config, ...pools[id], learn: within(pools[id] ?? {}, config) }] as const,
  );
  return Object.fromEntries(tuned) as PoolsConfig;
}

type TenantLimits = { weight: number; rpm: number | null; tpm: number | null; maxQueued: number | null };

/** A tenant's limits as they are in force. */
export function tunedTenant(configured: TenantLimits, { max_queued, ...tuning }: TenantTuning = {}): TenantLimits {
  return { ...configured, ...tuning, maxQueued: max_queued === undefined ? configured.maxQueued : max_queued } as TenantLimits;
}

/** What is set is a bound: headers raise it no further. */
function within(set: PoolTuning, { learn }: PoolConfig): PoolConfig["learn"] {
  if (learn === false) return false;
  return Object.fromEntries(Object.entries(learn).filter(([name]) => !(name.replace("max_", "") in set)));
}
