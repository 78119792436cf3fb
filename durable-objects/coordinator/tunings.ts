/** What operators have set on top of the configuration: read as the object wakes, written as they set it. */
import { type Settings, tenantOf } from "../../platform/settings.ts";
import { retuned, tunedPools, tunedTenant, UNTUNED } from "../../policy/tuning.ts";
import type { Tune, Tunings } from "../../schemas/tuning.ts";
import type { CoordinatorStore } from "./store/store.ts";

export class TuningBook {
  #all: Tunings;
  #changed = false;

  constructor(store: CoordinatorStore) {
    this.#all = { ...UNTUNED, ...store.tunings() };
  }

  get all(): Tunings {
    return this.#all;
  }

  /** The configuration with all that operators have set. */
  over(configured: Settings): Settings {
    const tenants = new Map(configured.tenants);
    for (const [id, tuning] of Object.entries(this.#all.tenants)) tenants.set(id, tunedTenant(tenantOf(configured, id), tuning));
    return { ...configured, pools: tunedPools(configured.pools, this.#all), tenants };
  }

  /** Returns whether anything changes; it takes effect once the object has restarted. */
  set(wish: Tune): boolean {
    const before = this.#all;
    this.#all = retuned(before, wish);
    this.#changed ||= this.#all !== before;
    return this.#all !== before;
  }

  write(store: CoordinatorStore): void {
    if (this.#changed) store.putTunings(this.#all);
    this.#changed = false;
  }
}
