import { findModel, type Limits } from "./catalog.ts";
import type { Problem } from "./errors.ts";
import { type ForeignStream, ForeignTraffic } from "./foreign.ts";
import { Growth, type GrowthRule } from "./growth.ts";
import { type Kind, Limiter, type LimitSettings } from "./limits.ts";
import { slowDown } from "./problems.ts";

export interface AccountSettings extends LimitSettings {
  growth: GrowthRule | null;
}

/** Who caused a refusal. `own`: it would have come even without the others. */
export type Cause = "own" | "foreign";
export type Admission = { ok: true } | { ok: false; kind: Kind | "slow_down"; cause: Cause; problem: Problem };

export interface Ask {
  model: string;
  fallback: Limits;
  tokens: number;
  inputTokens: number;
  /** Equal for a call and its repetition. */
  key: string;
}

// Calls that only the others' use kept out; the oldest is forgotten first.
const MOST_OWED = 20_000;

/** The account's limits and everyone who draws on them. */
export class Account {
  private readonly limiter: Limiter;
  /** The same limits in a world without the others: whatever it refuses is our own fault. */
  private readonly alone: Limiter;
  /** Calls admitted by `alone` but not by `limiter`. When they come again, `alone` has already counted them. */
  private readonly owed = new Set<string>();
  private readonly growth = new Growth();
  private foreign = new ForeignTraffic([], 0);
  private settings: AccountSettings;

  constructor(settings: AccountSettings) {
    this.settings = settings;
    this.limiter = new Limiter(settings);
    this.alone = new Limiter(settings);
  }

  configure(settings: AccountSettings, now: number): void {
    this.settings = settings;
    this.limiter.configure(settings, now);
    this.alone.configure(settings, now);
  }

  /** Replaces all existing streams. */
  setForeign(streams: readonly ForeignStream[], seed: number): void {
    this.foreign = new ForeignTraffic(streams, seed);
  }

  /** Lets the others' calls up to `now` draw on the limits. A refused one is not repeated. */
  advance(now: number, note: (admitted: boolean, tokens: number) => void): void {
    for (const { at, elsewhere, model, tokens } of this.foreign.take(now)) {
      note(this.limiter.admit(model, findModel(model)!.limits, tokens, at, elsewhere).ok, tokens);
    }
  }

  /** Charges one of our calls, or says why not and who caused the refusal. */
  admit({ model, fallback, tokens, inputTokens, key }: Ask, now: number): Admission {
    const { growth } = this.settings;
    if (growth !== null && !this.growth.allows(growth, inputTokens, now))
      return { ok: false, kind: "slow_down", cause: "own", problem: slowDown() };
    const real = this.limiter.admit(model, fallback, tokens, now);
    const alone = this.owed.has(key) || this.alone.admit(model, fallback, tokens, now).ok;
    if (real.ok) {
      if (growth !== null) this.growth.count(growth, inputTokens, now);
      this.owed.delete(key);
      return real;
    }
    if (alone) this.owe(key);
    return { ...real, cause: alone ? "foreign" : "own" };
  }

  /** Gives back tokens that one of our calls was charged. */
  refund(model: string, fallback: Limits, tokens: number, now: number): void {
    for (const limiter of [this.limiter, this.alone]) limiter.refund(model, fallback, tokens, now);
  }

  headers(model: string, fallback: Limits, now: number): Record<string, string> {
    return this.limiter.headers(model, fallback, now);
  }

  private owe(key: string): void {
    if (this.owed.size >= MOST_OWED) this.owed.delete(this.owed.values().next().value!);
    this.owed.add(key);
  }
}
