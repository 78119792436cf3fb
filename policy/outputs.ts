/**
 * How long unbounded answers are, learned from the last ones of each tenant and model.
 *
 * With a probability of at least k / (m + 1), the next answer is no longer than the k-th shortest of the last m, whatever their distribution, as long as none
 * of them is special (exchangeability: Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005, conformal prediction).
 */
import type { OpenOutput } from "../schemas/rpc.ts";

export type Outputs = readonly number[];

/** Answers remembered: those of an hour ago are not a guide. */
const KEPT = 100;
/** Until this many have come, the pool's `default_output_tokens` applies. */
export const ENOUGH = 20;
/** The share of answers that a reservation should cover. A larger one would leave budget unused, because upstream gives none back. */
const SHARE = 0.9;

/** `tokens`: of one choice. */
export function noteOutput(outputs: Outputs, tokens: number): Outputs {
  return [...outputs.slice(1 - KEPT), tokens];
}

/** Tokens that nine of ten answers do not exceed; null while too few are known. */
export function expectedOutput(outputs: Outputs): number | null {
  if (outputs.length < ENOUGH) return null;
  const sorted = [...outputs].sort((a, b) => a - b);
  return sorted[Math.ceil(SHARE * (outputs.length + 1)) - 1]!;
}

/**
 * The reservation of a request without a bound: an integer ≥ 1. What was learned never raises it above `whole`, the most that can be reserved: a guess is
 * not a reason to refuse.
 */
export function reserveOpen(tokens: number, { choices, each }: OpenOutput, expected: number, whole: number): number {
  return Math.max(1, Math.min(tokens + choices * (expected - each), Math.max(tokens, Math.floor(whole))));
}
