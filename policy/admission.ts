/** Whether a request can be accepted at all, whether this caller may send it, and what it will reserve. */
import type { ChatRequest } from "../schemas/job.ts";
import type { Problem, Refused } from "../schemas/problem.ts";
import type { OpenOutput } from "../schemas/rpc.ts";
import type { PoolConfig, PoolsConfig } from "../schemas/settings.ts";
import { type Budget, type Meter, neverFits } from "./budget.ts";
import { estimatePromptTokens, reservedTokens } from "./estimate.ts";
import { matches, poolBudget, poolOf } from "./pools.ts";
import { isGoverned } from "./ramp.ts";

/** Most characters of one chat request: a message between objects holds 32 MiB, at two bytes per character. */
export const REQUEST_LIMIT = 12_000_000;

/**
 * `request`: the body as JSON text. `tokens`: what it reserves from its pool. `prompt`: how many of those are for the prompt, set only if the pool is
 * governed (ramp.ts). `open`: set if the request does not bound its answer.
 */
export type Priced = { ok: true; request: string; model: string; pool: string; tokens: number; prompt?: number; open?: OpenOutput };

/** `beyond`: the pool whose configured limits cannot hold the request. */
export type Unpriced = Refused & { beyond?: string };

/** By pool: the most tokens that a request may reserve since an operator raised its limits. */
export type Raised = ReadonlyMap<string, number>;

/** @param allowed - pattern lists (the key's, the token's) that must all let the model through; null lets any through. */
export function price(
  body: ChatRequest,
  pools: PoolsConfig,
  allowed: readonly (readonly string[] | null)[],
  raised: Raised = NOT_RAISED,
): Priced | Unpriced {
  const { model } = body;
  if (!allowed.every((patterns) => lets(patterns, model))) {
    const message = `You may not use the model "${model}" with this key or token.`;
    return refuse({ status: 403, type: "permission_error", code: "model_not_allowed", message, param: "request.model" });
  }
  const pool = poolOf(pools, model);
  if (pool === null) return refuse(invalid(404, "model_not_found", `No pool is configured for the model "${model}".`, "request.model"));
  const request = JSON.stringify(body);
  if (request.length > REQUEST_LIMIT) {
    const message = `The request has ${request.length} characters of JSON, more than the ${REQUEST_LIMIT} allowed.`;
    return refuse(invalid(413, "request_too_large", message, "request"));
  }
  const config = pools[pool]!;
  const prompt = estimatePromptTokens(body);
  const tokens = reservedTokens(body, config.default_output_tokens, prompt);
  // A reservation that even a full bucket cannot hold would wait forever.
  const meter = neverFits(wholeBudget(config), tokens);
  const most = raised.get(pool) ?? 0;
  if (meter && tokens > most) {
    const { resource, whole } = meter;
    return { ...refuse(beyondPool(pool, tokens, { resource, whole: Math.max(whole, most) })), beyond: pool };
  }
  const bounded = (body.max_completion_tokens ?? body.max_tokens ?? null) !== null;
  const open = { choices: body.n ?? 1, each: config.default_output_tokens };
  return { ok: true, request, model, pool, tokens, ...(isGoverned(config) && { prompt }), ...(!bounded && { open }) };
}

const NOT_RAISED: Raised = new Map();

/** Full budgets, cached by configuration: building one for each job took half of the time of `price`. */
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

/** What is wrong with a request of more tokens than its pool can ever hold. */
export function beyondPool(pool: string, tokens: number, { resource, whole }: Pick<Meter, "resource" | "whole">): Problem {
  const most = `${Math.floor(whole)} (${resource.toUpperCase()})`;
  return tooManyTokens(`This request reserves ${tokens} tokens, but the pool "${pool}" never holds more than ${most}.`);
}

/** A request that reserves too many tokens. `fault` says what they exceed. */
export function tooManyTokens(fault: string): Problem {
  return invalid(400, "reservation_exceeds_budget", `${fault} Shorten the prompt or set a lower max_completion_tokens.`, "request");
}

function invalid(status: number, code: string, message: string, param: string): Problem {
  return { status, type: "invalid_request_error", code, message, param };
}

function refuse(problem: Problem): Refused {
  return { ok: false, problem };
}
