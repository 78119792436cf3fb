/** What a failed call means for its job. Decided by status and code; the coordinator decides what follows. */
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import type { UpstreamFailure } from "./upstream.ts";

/**
 * 429s that time alone does not cure: a call each minute shows when somebody has paid
 * (platform.openai.com/docs/guides/error-codes).
 */
const BILLING = new Set([
  "insufficient_quota",
  "credit_balance_exhausted",
  "organization_spend_limit_exceeded",
  "project_spend_limit_exceeded",
  "organization_usage_limit_exceeded",
]);
const BILLING_PAUSE_MS = 60_000;
/** Client errors that another attempt may cure: a time-out, a conflict, one too early. */
const CURABLE = new Set([408, 409, 425]);

export function classify(failure: UpstreamFailure): Outcome {
  const { status, cause, retryAfterMs } = failure;
  if (cause === "abort") return { kind: "aborted" };
  if (status === 429) {
    const billing = BILLING.has(failure.code ?? "") || BILLING.has(failure.type ?? "");
    return { kind: "rate_limited", retryAfterMs: billing ? Math.max(BILLING_PAUSE_MS, retryAfterMs ?? 0) : retryAfterMs };
  }
  const problem = problemOf(failure);
  if (status !== null && status >= 400 && status < 500 && !CURABLE.has(status)) return { kind: "fatal", problem };
  // With a response, upstream has said that it failed; without one, it may have done the work.
  return { kind: "retryable", unknown: status === null, retryAfterMs, problem };
}

/** An end of which upstream said nothing: the stream stopped, or a time-out ran. */
export function unknownEnd(code: string, message: string): Outcome {
  return {
    kind: "retryable",
    unknown: true,
    retryAfterMs: null,
    problem: { status: 502, type: "server_error", code, message, param: null },
  };
}

function problemOf({ status, code, type, message, param, cause }: UpstreamFailure): Problem {
  const fallback = cause === "network" ? "upstream_unreachable" : "upstream_error";
  return { status: status ?? 502, type: type ?? "server_error", code: code ?? (status === null ? fallback : null), message, param };
}
