/** What a failed call means for its job. What upstream's error means is policy/upstream-errors.ts's; the coordinator decides what follows. */
import { isServers, kindOf, mayHaveWorked, NOT_AGAIN_MS } from "../../policy/upstream-errors.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import type { UpstreamFailure } from "./upstream.ts";

/** `begun`: a part of the answer had come. What was said then takes nothing back: the call was made, and perhaps paid for. */
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
  if (kind === "failed" || begun) return { kind: "retryable", unknown: mayHaveWorked(status), retryAfterMs, problem, upstream: true };
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

/** An end of which upstream said nothing. `blame`: it was upstream's, not ours or its client's. `repeats`: how often such an end may come before the job is given up. */
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

/** The same of a call that upstream had not taken by then: nothing of it is in doubt, and it may be made again as often as need be. */
export function untakenEnd({ repeats: _, ...end }: UnknownEnd, { code, message }: UpstreamFailure): UnknownEnd {
  return { ...end, unknown: false, unsent: true, problem: { ...end.problem, code, message } };
}

function problemOf({ status, code, type, message, param, cause }: UpstreamFailure): Problem {
  const fallback = cause === "network" ? "upstream_unreachable" : "upstream_error";
  return { status: status ?? 502, type: type ?? "server_error", code: code ?? (status === null ? fallback : null), message, param };
}
