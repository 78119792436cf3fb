import { unknownModel } from "./catalog.ts";
import { incorrectKey, invalidRequest, openAiError, type Problem, serverError } from "./errors.ts";

type Make = (model: string) => Problem;

const BILLING = "For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.";

/** What an account without money is told; the type is always the same, so only the code tells which it is. */
export const BILLING_CODES = [
  "insufficient_quota",
  "credit_balance_exhausted",
  "organization_spend_limit_exceeded",
  "project_spend_limit_exceeded",
  "organization_usage_limit_exceeded",
] as const;
export type BillingCode = (typeof BILLING_CODES)[number];

export function billingProblem(code: BillingCode): Problem {
  const message = `You exceeded your current quota, please check your plan and billing details. ${BILLING}`;
  return openAiError(429, message, "insufficient_quota", code);
}

const GROWTH = "Slow down: the rate of requests grew too fast. Please reduce it to its earlier level, then increase it gradually.";
const GROWTH_WAIT_MS = 2_000;

/** Within all limits, but refused because traffic grew too quickly. */
export function slowDown(): Problem {
  return { ...openAiError(429, GROWTH, "rate_limit_error", "slow_down"), retryAfterMs: GROWTH_WAIT_MS };
}

function overloaded(): Problem {
  const message = "The server is currently overloaded. Please try again later.";
  return openAiError(503, message, "service_unavailable_error", "server_is_overloaded");
}

function limitReached(model: string, kind: "requests" | "tokens", unit: string): Problem {
  const message = `Rate limit reached for ${model} in organization org-sim on ${unit}: Limit 500, Used 500, Requested 1. Please try again in 120ms.`;
  return { ...openAiError(429, message, kind, "rate_limit_exceeded"), retryAfterMs: 120 };
}

const country = () =>
  openAiError(403, "Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory");
const conflict = () => openAiError(409, "The resource was updated by another process. Please try again.", "invalid_request_error", null);
const noCapacity = () => openAiError(429, "Resource Unavailable", "resource_unavailable", "resource_unavailable");
const tooLong = () => {
  const message = "This model's maximum context length is exceeded (simulated). Please reduce the length of the messages.";
  return invalidRequest(message, "messages", "context_length_exceeded");
};
const billing = (code: BillingCode) => () => billingProblem(code);

/** Answered before admission: nothing is charged. */
export const AT_THE_DOOR = {
  "400": () => invalidRequest("Invalid request (simulated).", null, null),
  context_length_exceeded: tooLong,
  "401": () => incorrectKey("sk-simulated"),
  "403": country,
  "404": unknownModel,
  "409": conflict,
  "429": (model: string) => limitReached(model, "requests", "requests per min (RPM)"),
  "429_tokens": (model: string) => limitReached(model, "tokens", "tokens per min (TPM)"),
  slow_down: slowDown,
  // The same with the status that older endpoints used.
  "503_slow_down": () => ({ ...openAiError(503, GROWTH, "service_unavailable_error", "slow_down"), retryAfterMs: GROWTH_WAIT_MS }),
  // What `service_tier: "flex"` gets when there is no capacity.
  resource_unavailable: noCapacity,
  insufficient_quota: billing("insufficient_quota"),
  credit_balance_exhausted: billing("credit_balance_exhausted"),
  organization_spend_limit_exceeded: billing("organization_spend_limit_exceeded"),
  project_spend_limit_exceeded: billing("project_spend_limit_exceeded"),
  organization_usage_limit_exceeded: billing("organization_usage_limit_exceeded"),
} satisfies Record<string, Make>;

/** Answers to calls that were admitted and therefore charged against the limits. */
export const FAILURES = {
  "408": () => openAiError(408, "Request timed out.", "timeout", null),
  "500": serverError,
  "502": () => openAiError(502, "Bad gateway.", "server_error", null),
  "503": overloaded,
  "504": () => openAiError(504, "The server took too long to answer.", "server_error", null),
  // The model has worked, but nobody learns of it.
  "504_paid": () => openAiError(504, "The server took too long to answer.", "server_error", null),
} satisfies Record<string, Make>;

/** Sent inside a stream whose headers have already gone out. */
export const IN_STREAM = { stream_error: serverError, stream_overloaded: overloaded } satisfies Record<string, Make>;
