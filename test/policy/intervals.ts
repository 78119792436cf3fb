/** An independent reading of a log of admitted calls: it knows rates and instants but not buckets. */
import type { Limits } from "../../policy/budget.ts";

export type Admitted = { at: number; tokens: number };

/** A day in 2026, so that instants are as coarse as real ones. */
export const START = 1_780_000_000_000;

type Rule = { name: string; perMs: number; most: number; amountOf: (call: Admitted) => number };

/**
 * The worst interval: how far the admitted amount exceeded `most + perMs × T`. Looks at every pair of instants in the log, including
 * intervals of length zero.
 */
export function excess(log: Admitted[], rule: Omit<Rule, "name">): number {
  let worst = Number.NEGATIVE_INFINITY;
  for (let first = 0; first < log.length; first++) {
    let sum = 0;
    for (let last = first; last < log.length; last++) {
      sum += rule.amountOf(log[last]!);
      worst = Math.max(worst, sum - rule.most - rule.perMs * (log[last]!.at - log[first]!.at));
    }
  }
  return worst;
}

/** What upstream promises for these limits, taken from its documentation: one bucket for each, full at first. */
export function rules(limits: Limits): Rule[] {
  const one = () => 1;
  const tokens = (call: Admitted) => call.tokens;
  const perMinute = (limit: number, least: number) => ({
    perMs: limit / 60_000,
    most: Math.max(least, (limit * limits.burstSeconds) / 60),
  });
  const perDay = (limit: number, least: number) => ({ perMs: limit / 86_400_000, most: Math.max(least, limit) });
  return [
    ...(limits.rpm === null ? [] : [{ name: "rpm", amountOf: one, ...perMinute(limits.rpm, 1) }]),
    ...(limits.tpm === null ? [] : [{ name: "tpm", amountOf: tokens, ...perMinute(limits.tpm, 0) }]),
    ...(limits.rpd === null ? [] : [{ name: "rpd", amountOf: one, ...perDay(limits.rpd, 1) }]),
    ...(limits.tpd === null ? [] : [{ name: "tpd", amountOf: tokens, ...perDay(limits.tpd, 0) }]),
  ];
}

/**
 * The rules that a log breaks. A millionth of a unit is rounding, and so is what a rate refills in a two-thousandth of a ms: timestamps are no finer.
 */
export function broken(log: Admitted[], limits: Limits): string[] {
  return rules(limits)
    .filter((rule) => excess(log, rule) > 1e-6 + rule.perMs * 5e-4)
    .map((rule) => `${rule.name}: ${excess(log, rule)} too many`);
}
