import { findModel, type Limits } from "./catalog.ts";
import type { Problem } from "./errors.ts";
import { type ForeignStream, ForeignTraffic } from "./foreign.ts";
import { Growth, type GrowthRule } from "./growth.ts";
import { type Kind, Limiter, type LimitSettings } from "./limits.ts";
import { slowDown } from "./problems.ts";

export interface AccountSettings extends LimitSettings {
  growth: GrowthRule | null;
}

/** Whose doing a refusal is. `own`: it would have come without the others too. */
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

// Calls that only the others kept out; the oldest is forgotten first.
const MOST_OWED = 20_000;

/** The account's limits and all who draw on them. */
export class Account {
  private readonly limiter: Limiter;
  /** The same limits in a world without the others: what it refuses, we refused ourselves. */
  private readonly alone: Limiter;
  /** Let in there and not here. When they come again, they have been counted there. */
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

  /** In place of the streams there were. */
  setForeign(streams: readonly ForeignStream[], seed: number): void {
    this.foreign = new ForeignTraffic(streams, seed);
  }

  /** Lets the others' calls up to `now` draw on the limits. One that is refused gives up. */
  advance(now: number, note: (admitted: boolean, tokens: number) => void): void {
    for (const { at, elsewhere, model, tokens } of this.foreign.take(now)) {
      note(this.limiter.admit(model, findModel(model)!.limits, tokens, at, elsewhere).ok, tokens);
    }
  }

  /** Charges a call of ours, or says why not and whose doing it is. */
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

  /** Tokens of a call of ours that were charged come back. */
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
