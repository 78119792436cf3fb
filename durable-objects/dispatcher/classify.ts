/** What a failed call means for its job. What upstream's error means is policy/upstream-errors.ts's; the coordinator decides what follows. */
import { kindOf } from "../../policy/upstream-errors.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import type { UpstreamFailure } from "./upstream.ts";

/** `begun`: a part of the answer had come. What was said then takes nothing back: the call was made, and perhaps paid for. */
export function classify(failure: UpstreamFailure, begun: boolean): Outcome {
  const { status, cause, retryAfterMs } = failure;
  if (cause === "abort") return { kind: "aborted" };
  const problem = problemOf(failure);
  const kind = kindOf(failure);
  if (kind === "refused") return { kind: "fatal", problem };
  // With a response, upstream has said that it failed; without one, it may have done the work.
  if (kind === "failed" || begun) return { kind: "retryable", unknown: status === null, retryAfterMs, problem, upstream: true };
  switch (kind) {
    case "rate_limit":
      return { kind: "rate_limited", retryAfterMs };
    case "slow_down":
      return { kind: "slow_down", retryAfterMs };
    case "billing":
    case "credentials":
      return { kind: "halted", reason: kind, retryAfterMs, problem };
    case "region":
      return { kind: "region", problem };
  }
}

/** An end of which upstream said nothing: the stream stopped, or a time-out ran. */
export function unknownEnd(code: string, message: string): Extract<Outcome, { kind: "retryable" }> {
  return {
    kind: "retryable",
    unknown: true,
    retryAfterMs: null,
    problem: { status: 502, type: "server_error", code, message, param: null },
    upstream: true,
  };
}

function problemOf({ status, code, type, message, param, cause }: UpstreamFailure): Problem {
  const fallback = cause === "network" ? "upstream_unreachable" : "upstream_error";
  return { status: status ?? 502, type: type ?? "server_error", code: code ?? (status === null ? fallback : null), message, param };
}
