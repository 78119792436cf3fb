/** What a failed call means for its job. policy/upstream-errors.ts knows what upstream's error means; the coordinator decides what follows. */
import { isServers, kindOf, mayHaveWorked, NOT_AGAIN_MS, typeOf } from "../../policy/upstream-errors.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import type { UpstreamFailure } from "./upstream.ts";

/** The most calls of one job that may time out: each may be charged for, and what took too long once will take too long again. */
export const TIMEOUT_REPEATS = 3;
/** Cloudflare gave up waiting for upstream's headers, by default after 120 s: sooner than we do (developers.cloudflare.com/fundamentals/reference/connection-limits). */
const EDGE_TIMEOUT = 524;

/** `begun`: part of the answer had come. Whatever error followed, the call was made, and may have to be paid for. */
export function classify(failure: UpstreamFailure, begun: boolean): Outcome {
  const { status, cause, shouldRetry, untaken } = failure;
  if (cause === "abort") return { kind: "aborted" };
  const problem = problemOf(failure);
  if (cause === "unsent") return { kind: "fatal", problem, unsent: true };
  const kind = kindOf(failure);
  if (kind === "refused") return { kind: "fatal", problem };
  const retryAfterMs =
    shouldRetry === false && isServers(status) ? Math.max(failure.retryAfterMs ?? 0, NOT_AGAIN_MS) : failure.retryAfterMs;
  if (untaken) return { kind: "retryable", unknown: false, retryAfterMs, problem, upstream: true, unsent: true };
  const repeats = status === EDGE_TIMEOUT && { repeats: TIMEOUT_REPEATS };
  if (kind === "failed" || begun)
    return { kind: "retryable", unknown: mayHaveWorked(status), retryAfterMs, problem, upstream: true, ...repeats };
  switch (kind) {
    case "rate_limit":
      return { kind: "rate_limited", retryAfterMs, problem };
    case "no_capacity":
      return { kind: "no_capacity", retryAfterMs, problem };
    case "slow_down":
      return { kind: "slow_down", retryAfterMs, problem };
    case "billing":
    case "credentials":
      return { kind: "halted", reason: kind, retryAfterMs, problem };
    case "region":
      return { kind: "region", problem };
  }
}

export type UnknownEnd = Extract<Outcome, { kind: "retryable" }>;

/**
 * An end that upstream said nothing about. `blame`: it was upstream's fault, not ours or the client's. `repeats`: the most attempts of a job that may end
 * this way; the last of them fails it.
 */
export function unknownEnd(code: string, message: string, { blame, repeats }: { blame: boolean; repeats?: number }): UnknownEnd {
  return {
    kind: "retryable",
    unknown: true,
    retryAfterMs: null,
    problem: { status: 502, type: "server_error", code, message, param: null },
    ...(blame && { upstream: true }),
    ...(repeats !== undefined && { repeats }),
  };
}

/** The same for a call that upstream had certainly not taken: nothing is in doubt, and it may be repeated any number of times. */
export function untakenEnd({ repeats: _, ...end }: UnknownEnd, { code, message }: UpstreamFailure): UnknownEnd {
  return { ...end, unknown: false, unsent: true, problem: { ...end.problem, code, message } };
}

function problemOf({ status, code, type, message, param, cause }: UpstreamFailure): Problem {
  const fallback = cause === "network" ? "connection_lost" : "upstream_error";
  return { status: status ?? 502, type: type ?? typeOf(status), code: code ?? (status === null ? fallback : null), message, param };
}
