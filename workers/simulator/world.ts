import { Account, type AccountSettings } from "./account.ts";
import { FaultBook } from "./faults.ts";
import { Ledger } from "./ledger.ts";
import { inOrder, planRamp, planSteps, type Step } from "./schedule.ts";
import { type Control, foreignFrom, present, rulesFrom, type Settings } from "./settings.ts";
import { Ticker } from "./ticker.ts";

/** Everything that the simulator remembers, in memory only: a new process starts with full buckets and empty totals. */
export interface World {
  settings: Settings;
  account: Account;
  faults: FaultBook;
  ledger: Ledger;
  ticker: Ticker;
  /** Changes to come, soonest first. */
  schedule: Step[];
  /** Calls so far; makes ids differ between equal requests. */
  ordinal: number;
  /** The settings from the environment, for `reset`. */
  readonly initial: Settings;
}

/** Relative times in the settings count from `now`, Unix ms. */
export function openWorld(initial: Settings, now: number): World {
  const world: World = {
    settings: initial,
    account: new Account(accountSettings(initial)),
    faults: new FaultBook(initial.seed),
    ledger: new Ledger(),
    ticker: new Ticker(),
    schedule: planSteps(initial.schedule, now),
    ordinal: 0,
    initial,
  };
  world.faults.replace(rulesFrom(initial.faults, now));
  world.account.setForeign(foreignFrom(initial.foreign, now), initial.seed);
  return world;
}

/** Brings everything up to `now`: scheduled changes happen, and the others' calls draw on the limits, each at its own time. */
export function advance(world: World, now: number): void {
  for (let step = world.schedule[0]; step !== undefined && step.at <= now; step = world.schedule[0]) {
    world.schedule.shift();
    drawForeign(world, step.at);
    change(world, step.control, step.at, step.ramp);
  }
  drawForeign(world, now);
}

function drawForeign({ account, ledger }: World, now: number): void {
  account.advance(now, (admitted, tokens) => ledger.foreign(admitted, tokens));
}

/** `reset` first restores everything (settings, buckets, faults, totals); whatever else is given is then applied on top. */
export function applyControl(world: World, control: Control, now: number): void {
  if (control.reset === true) Object.assign(world, openWorld(world.initial, now));
  else advance(world, now);
  change(world, control, now, false);
}

function change(world: World, control: Control, now: number, ramp: boolean): void {
  const { reset: _reset, ramp_seconds: rampSeconds = 0, limits, schedule, ...given } = control;
  if (schedule !== undefined) world.schedule = planSteps(schedule, now);
  if (limits !== undefined && !ramp) world.schedule = world.schedule.filter((step) => !step.ramp);
  const slowly = limits !== undefined && rampSeconds > 0;
  if (slowly) world.schedule = inOrder([...world.schedule, ...planRamp(world.settings.limits, limits, rampSeconds, now)]);
  const changed = slowly ? {} : limits;
  world.settings = { ...world.settings, ...present(given), limits: { ...world.settings.limits, ...changed } };
  world.account.configure(accountSettings(world.settings), now);
  if (given.seed !== undefined) world.faults = new FaultBook(given.seed);
  if (given.seed !== undefined || given.faults !== undefined) world.faults.replace(rulesFrom(world.settings.faults, now));
  if (given.foreign !== undefined) world.account.setForeign(foreignFrom(given.foreign, now), world.settings.seed);
}

function accountSettings({ limits, burst_seconds, count_rejected, quantised, windows, growth_rule }: Settings): AccountSettings {
  return { limits, burstSeconds: burst_seconds, countRejected: count_rejected, quantised, windows, growth: growth_rule };
}
