/**
 * How long answers are that nothing bounds, learned from those that came: for each tenant and model, of the last of them.
 *
 * The k-th smallest of m answers is as long as the next at least with probability k / (m + 1), whatever their distribution, as long as none of them is
 * special (exchangeability: Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005, conformal prediction).
 */
import type { OpenOutput } from "../schemas/rpc.ts";

export type Outputs = readonly number[];

/** Answers remembered: an hour ago is no guide. */
const KEPT = 100;
/** Until so many came, the pool's `default_output_tokens` stands. */
export const ENOUGH = 20;
/** The share of answers that a reservation is to be enough for. More of them would leave budget unused, for upstream gives none back. */
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
 * The reservation of a request without bound: an integer ≥ 1. What was learned never makes it larger than `whole`, the most that can be reserved: a guess is
 * no reason to refuse.
 */
export function reserveOpen(tokens: number, { choices, each }: OpenOutput, expected: number, whole: number): number {
  return Math.max(1, Math.min(tokens + choices * (expected - each), Math.max(tokens, Math.floor(whole))));
}
