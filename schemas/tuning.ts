import { z } from "zod";
import { KeyConfig, PoolConfig } from "./settings.ts";

const { rpm, tpm, rpd, tpd, concurrency, burst_seconds } = PoolConfig.shape;
const { weight, rpm: ownRpm, tpm: ownTpm, max_queued } = KeyConfig.shape;

/** What operators may set of a pool while the service runs, as `SLUICE_POOLS` has it: null is no limit, and of `burst_seconds` that it is learned. */
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

/** The same of a tenant, as `SLUICE_KEYS` has it. */
export const TenantTuning = z
  .strictObject({ weight: weight.unwrap(), rpm: ownRpm.unwrap(), tpm: ownTpm.unwrap(), max_queued: max_queued.unwrap() })
  .partial();
export type TenantTuning = z.infer<typeof TenantTuning>;

/** What is set over what is configured, by name. */
export type Overrides = { pools: Record<string, PoolTuning>; tenants: Record<string, TenantTuning> };

/** `wishes`: the last that were fulfilled. */
export type Tunings = Overrides & { wishes: string[] };

/** An operator's wish, with a name of its own: repeated, it is fulfilled already. `reset`: first, all that was set before of this pool or tenant is as configured again. */
export type Tune = { wish: string; id: string; reset: boolean } & (
  | { kind: "pool"; set: PoolTuning }
  | { kind: "tenant"; set: TenantTuning }
);

/** What a tenant may use of all pools. `queued`: its jobs that have not ended; `overrides`: what of it is set over what is configured. */
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
