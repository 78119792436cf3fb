/** Whether a request can be taken in at all, from whom, and what it will reserve. */
import type { ChatRequest } from "../schemas/job.ts";
import type { Problem, Refused } from "../schemas/problem.ts";
import type { OpenOutput } from "../schemas/rpc.ts";
import type { PoolConfig, PoolsConfig } from "../schemas/settings.ts";
import { type Budget, neverFits } from "./budget.ts";
import { estimatePromptTokens, reservedTokens } from "./estimate.ts";
import { matches, poolBudget, poolOf } from "./pools.ts";
import { isGoverned } from "./ramp.ts";

/** Characters of one chat request: a message between objects holds 32 MiB, and two bytes a character. */
export const REQUEST_LIMIT = 12_000_000;

/** `request`: the body as JSON text; `tokens`: what it reserves of its pool; `prompt`: how many of these are its prompt's, if the pool's governor asks; `open`: if it does not bound its answer. */
export type Priced = { ok: true; request: string; model: string; pool: string; tokens: number; prompt?: number; open?: OpenOutput };

/** @param allowed - lists of patterns, each of which must let the model through: the key's, the token's; null lets any through. */
export function price(body: ChatRequest, pools: PoolsConfig, allowed: readonly (readonly string[] | null)[]): Priced | Refused {
  const { model } = body;
  if (!allowed.every((patterns) => lets(patterns, model))) {
    const message = `You may not use the model "${model}" with this key or token.`;
    return refuse({ status: 403, type: "permission_error", code: "model_not_allowed", message, param: "request.model" });
  }
  const pool = poolOf(pools, model);
  if (pool === null) return refuse(invalid(404, "model_not_found", `No pool takes the model "${model}".`, "request.model"));
  const request = JSON.stringify(body);
  if (request.length > REQUEST_LIMIT) return refuse(invalid(413, "request_too_large", "The request is too large.", "request"));
  const config = pools[pool]!;
  const prompt = estimatePromptTokens(body);
  const tokens = reservedTokens(body, config.default_output_tokens, prompt);
  // A reservation that no full bucket could hold would wait for ever.
  const meter = neverFits(wholeBudget(config), tokens);
  if (meter) {
    const message = `This request reserves ${tokens} tokens; the pool "${pool}" never holds more than ${Math.floor(meter.whole)} (${meter.resource.toUpperCase()}).`;
    return refuse(invalid(400, "reservation_exceeds_budget", message, "request"));
  }
  const bounded = (body.max_completion_tokens ?? body.max_tokens ?? null) !== null;
  const open = { choices: body.n ?? 1, each: config.default_output_tokens };
  return { ok: true, request, model, pool, tokens, ...(isGoverned(config) && { prompt }), ...(!bounded && { open }) };
}

/** Full budgets by configuration: for each job anew it was half of the price's time. */
const wholeBudgets = new WeakMap<PoolConfig, Budget>();

function wholeBudget(config: PoolConfig): Budget {
  const known = wholeBudgets.get(config) ?? poolBudget(config);
  wholeBudgets.set(config, known);
  return known;
}

/** Whether a list of patterns lets a model through; null lets any through. */
export function lets(patterns: readonly string[] | null, model: string): boolean {
  return patterns === null || patterns.some((pattern) => matches(pattern, model));
}

function invalid(status: number, code: string, message: string, param: string): Problem {
  return { status, type: "invalid_request_error", code, message, param };
}

function refuse(problem: Problem): Refused {
  return { ok: false, problem };
}
