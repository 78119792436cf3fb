import { FaultBook } from "./faults.ts";
import { Ledger } from "./ledger.ts";
import { Limiter, type LimitSettings } from "./limits.ts";
import { type Control, rulesFrom, type Settings } from "./settings.ts";
import { Ticker } from "./ticker.ts";

/** All that the simulator remembers. In memory alone: a new process starts with full buckets and empty totals. */
export interface World {
  settings: Settings;
  limiter: Limiter;
  faults: FaultBook;
  ledger: Ledger;
  ticker: Ticker;
  /** Calls so far; makes ids that differ between equal requests. */
  ordinal: number;
  /** As the environment had them, for `reset`. */
  readonly initial: Settings;
}

export function openWorld(initial: Settings): World {
  return {
    settings: initial,
    limiter: new Limiter(limitSettings(initial)),
    faults: new FaultBook(initial.seed),
    ledger: new Ledger(),
    ticker: new Ticker(),
    ordinal: 0,
    initial,
  };
}

/** `reset` first puts everything back (settings, buckets, faults, totals); whatever else is given then counts on top of it. */
export function applyControl(world: World, control: Control, now: number): void {
  const { faults, reset, limits, ...changes } = control;
  if (reset === true) Object.assign(world, openWorld(world.initial));
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  world.settings = { ...world.settings, ...given, limits: { ...world.settings.limits, ...limits } };
  world.limiter.configure(limitSettings(world.settings), now);
  if (control.seed !== undefined) world.faults = new FaultBook(control.seed);
  if (faults !== undefined) world.faults.replace(rulesFrom(faults, now));
}

function limitSettings({ limits, burst_seconds, count_rejected }: Settings): LimitSettings {
  return { limits, burstSeconds: burst_seconds, countRejected: count_rejected };
}
