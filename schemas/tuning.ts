import { z } from "zod";
import { KeyConfig, PoolConfig } from "./settings.ts";

const { rpm, tpm, rpd, tpd, concurrency, burst_seconds } = PoolConfig.shape;
const { weight, rpm: ownRpm, tpm: ownTpm, max_queued } = KeyConfig.shape;

/** What operators may set for a pool while the service runs, as in `SLUICE_POOLS`. Null, where allowed: no limit; for `burst_seconds`, that it is learned. */
export const PoolTuning = z
  .strictObject({
    rpm,
    tpm,
    rpd: rpd.unwrap(),
    tpd: tpd.unwrap(),
    concurrency: concurrency.unwrap(),
    burst_seconds: burst_seconds.unwrap(),
  })
  .partial();
export type PoolTuning = z.infer<typeof PoolTuning>;

/** The same for a tenant, as in `SLUICE_KEYS`. */
export const TenantTuning = z
  .strictObject({ weight: weight.unwrap(), rpm: ownRpm.unwrap(), tpm: ownTpm.unwrap(), max_queued: max_queued.unwrap() })
  .partial();
export type TenantTuning = z.infer<typeof TenantTuning>;

/** What operators have set on top of the configuration, by name. */
export type Overrides = { pools: Record<string, PoolTuning>; tenants: Record<string, TenantTuning> };

/** `wishes`: ids of the last wishes applied. */
export type Tunings = Overrides & { wishes: string[] };

/** An operator's change, with an id of its own so that repeating it has no effect. `reset`: first return this pool or tenant to its configuration. */
export type Tune = { wish: string; id: string; reset: boolean } & (
  | { kind: "pool"; set: PoolTuning }
  | { kind: "tenant"; set: TenantTuning }
);

/** What a tenant may use of all pools. `queued`: its jobs that have not ended; `overrides`: what operators have set. */
export type TenantState = {
  object: "tenant";
  id: string;
  weight: number;
  rpm: number | null;
  tpm: number | null;
  max_queued: number | null;
  queued: number;
  overrides: TenantTuning;
};
