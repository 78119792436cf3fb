/**
 * How the pools stand: what operators paused, what upstream stopped or slowed, and how fast a pool may grow. Law: it is asked before every start,
 * told of the end of every call, and written in the same commit as what followed from it.
 */
import type { Notice } from "../../../platform/telemetry.ts";
import type { Ended } from "../../../policy/breaker.ts";
import { type Credit, restored, wasIdle } from "../../../policy/credit.ts";
import { type Cut, NO_USE, type Use } from "../../../policy/pace.ts";
import { isCovered, isGoverned, openRamp, type Ramp, type RampRecord, recordOf, restore as restoreRamp } from "../../../policy/ramp.ts";
import type { Silence } from "../../../policy/silence.ts";
import type { Stop } from "../../../policy/stop.ts";
import type { PoolConfig } from "../../../schemas/settings.ts";
import type { CoordinatorStore } from "../store/store.ts";
import { type DrainRecord, Drains } from "./drains.ts";

/** Why a pool in doubt was last refused. */
export type Refusal = "rate_limit" | "slow_down";

export type PoolState = {
  /** Paused by an operator, since (ms). */
  pausedAt: number | null;
  stop: Stop | null;
  cut: Cut | null;
  readonly ramp: Ramp | null;
  use: Use;
  /** As last written. */
  usedBefore: Use;
  /** Set while the pool is in doubt: it was refused for the rate, or told to slow down in spite of a cut. Null: it is trusted. */
  credit: Credit | null;
  /** The silence that upstream asked for when it refused. */
  silence: Silence | null;
  /**
   * Since when (ms) the credit has been all but spent, and whether that raised an alarm. Old records have no `reason`: the pool was refused for the rate.
   * `provenAt`: when a call was last taken, to the minute, or the first was dispatched after long idleness. `backSince`: since when there has been
   * enough credit again for all tenants, not only for those whose calls are taken.
   */
  spent: { since: number; alarmed: boolean; reason?: Refusal; provenAt?: number; backSince?: number } | null;
  /** Tenants whose last calls came to nothing: how many in a row, and since when, ms. The one whose last such call is longest ago comes first. */
  readonly vain: Map<string, { times: number; since: number }>;
  /** When a tenant that is kept behind the others was last called, and whose turn it is, as found at `at` (kept.ts). ms. */
  vainAt: number;
  vainNext: { at: number; tenant: string | null } | null;
  /** Calls that ended recently, oldest first. */
  readonly recent: Ended[];
  /** When upstream last took a call, and when the latest of those it took was dispatched, ms. */
  provenAt: number;
  provenBy: number;
};

/** What is written of a pool; the rest is learned again. Old records have no `use`. */
type PoolRecord = Pick<PoolState, "pausedAt" | "stop" | "cut"> & {
  ramp: RampRecord | null;
  use?: Use;
  /** If the pool runs on credit: what operators were told of that, the credit left, and the silence that upstream asked for. Old records have no `credit`. */
  doubted?: (Pick<PoolState, "spent"> & { credit?: Credit; silence?: Silence | null }) | null;
};
type Levers = { pausedAt: number | null; tenants: [string, number][] };

/** Dispatchers remembered as abandoned because upstream refuses their region; beyond this the oldest are forgotten. */
const MOST_RETIRED = 256;

export class Conditions {
  readonly #pools = new Map<string, PoolState>();
  readonly #changed = new Set<string>();
  /** Everything is paused, since (ms). */
  pausedAt: number | null = null;
  readonly pausedTenants = new Map<string, number>();
  readonly drains = new Drains();
  /** Names of dispatchers that are no longer called, oldest first. */
  readonly retired: Set<string>;
  /** Dispatchers retired since upstream last took a call. */
  retiredInVain = 0;
  /** What to tell operators once it is written. */
  notices: Notice[] = [];

  /** @param retired the fleet's own set. */
  constructor(pools: Record<string, PoolConfig>, retired: Set<string>) {
    this.retired = retired;
    for (const [id, config] of Object.entries(pools)) {
      const ramp = isGoverned(config) ? openRamp(config.ramp_tpm!) : null;
      const fresh = {
        pausedAt: null,
        stop: null,
        cut: null,
        use: NO_USE,
        usedBefore: NO_USE,
        credit: null,
        silence: null,
        spent: null,
        vainAt: 0,
        vainNext: null,
        provenAt: 0,
        provenBy: 0,
      };
      this.#pools.set(id, { ...fresh, ramp, recent: [], vain: new Map() });
    }
  }

  of(pool: string): PoolState {
    return this.#pools.get(pool)!;
  }

  /** Has the pool written with this turn. */
  changedPool(pool: string): void {
    this.#changed.add(`pool ${pool}`);
  }

  changedDrains(): void {
    this.#changed.add("drains");
  }

  changedLevers(): void {
    this.#changed.add("levers");
  }

  retire(dispatcher: string): void {
    this.retired.add(dispatcher);
    if (this.retired.size > MOST_RETIRED) this.retired.delete(this.retired.values().next().value!);
    this.#changed.add("retired");
  }

  /** `exactly`: nothing runs ahead of the truth. */
  write(store: CoordinatorStore, now: number, exactly: boolean): void {
    for (const [id, { ramp }] of this.#pools) if (ramp && (exactly || !isCovered(ramp, now))) this.changedPool(id);
    if (this.#changed.size === 0) return;
    for (const scope of this.#changed) store.putCondition(scope, JSON.stringify(this.#recordOf(scope, now, exactly)));
    this.#changed.clear();
  }

  restore(store: CoordinatorStore, now: number): void {
    for (const { scope, state } of store.conditions()) {
      if (scope === "levers") this.#restoreLevers(JSON.parse(state) as Levers);
      else if (scope === "drains") this.drains.restore(JSON.parse(state) as DrainRecord);
      else if (scope === "retired") for (const name of JSON.parse(state) as string[]) this.retired.add(name);
      else this.#restorePool(scope.slice("pool ".length), JSON.parse(state) as PoolRecord, now);
    }
  }

  /** Called once the tickets are back. `runs`: whether a call of that job in that pool is on record; a probe without one ended unheard. */
  findProbes(runs: (pool: string, job: string) => boolean): void {
    for (const [id, state] of this.#pools) {
      if (!state.stop) continue;
      const { begun, probe } = state.stop;
      if (probe && !runs(id, probe)) state.stop = { ...state.stop, probe: null };
      if (begun) state.stop = { ...state.stop, begun: begun.filter((job) => runs(id, job)) };
    }
  }

  #restoreLevers({ pausedAt, tenants }: Levers): void {
    this.pausedAt = pausedAt;
    for (const [tenant, at] of tenants) this.pausedTenants.set(tenant, at);
  }

  #restorePool(id: string, { doubted, ramp, use, ...record }: PoolRecord, now: number): void {
    const state = this.#pools.get(id);
    if (!state) return;
    Object.assign(state, record);
    // What it has used since is not known: assume that it went on.
    if (use) [state.usedBefore, state.use] = [use, { ...use, at: now }];
    if (ramp && state.ramp) restoreRamp(state.ramp, ramp, now);
    if (!doubted) return;
    const { credit = null, silence = null, spent } = doubted;
    Object.assign(state, {
      credit: restored(spent !== null, credit, now),
      silence,
      spent: spent && credit && wasIdle(credit, now) ? { ...spent, provenAt: now } : spent,
    });
    // Written now, so that its credit drips on through later restarts.
    if (!credit) this.changedPool(id);
  }

  #recordOf(scope: string, now: number, exactly: boolean): PoolRecord | Levers | DrainRecord | string[] {
    if (scope === "drains") return this.drains.record;
    if (scope === "levers") return { pausedAt: this.pausedAt, tenants: [...this.pausedTenants] };
    if (scope === "retired") return [...this.retired];
    const state = this.of(scope.slice("pool ".length));
    const { credit, cut, pausedAt, ramp, silence, spent, stop, use } = state;
    state.usedBefore = use;
    return {
      pausedAt,
      stop,
      cut,
      use,
      ramp: ramp && recordOf(ramp, now, exactly ? 0 : undefined),
      doubted: credit && { spent, credit, silence },
    };
  }
}
