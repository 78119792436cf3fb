import type { Headers, Refusal } from "./account.ts";

/** The bodies of OpenAI's answers, from its API reference, error guide and rate-limit guide. */
export type Problem = { status: number; message: string; type: string; code: string | null };

export const BILLING = [
  "insufficient_quota",
  "credit_balance_exhausted",
  "organization_spend_limit_exceeded",
  "project_spend_limit_exceeded",
  "organization_usage_limit_exceeded",
] as const;

const problem = (status: number, type: string, code: string | null, message: string): Problem => ({ status, message, type, code });

export const PROBLEMS: Record<string, Problem> = {
  not_json: problem(400, "invalid_request_error", null, "We could not parse the JSON body of your request."),
  invalid_api_key: problem(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
  unsupported_country: problem(
    403,
    "request_forbidden",
    "unsupported_country_region_territory",
    "Country, region, or territory not supported",
  ),
  model_not_found: problem(404, "invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
  slow_down: problem(429, "rate_limit_error", "slow_down", "Your request rate increased too fast. Reduce it, then increase it gradually."),
  server_error: problem(500, "server_error", null, "The server had an error while processing your request."),
  gateway_timeout: problem(504, "server_error", null, "The upstream server did not answer in time."),
  overloaded: problem(
    503,
    "service_unavailable_error",
    "server_is_overloaded",
    "The engine is currently overloaded, please try again later.",
  ),
  ...Object.fromEntries(
    BILLING.map((code) => [
      code,
      problem(429, "insufficient_quota", code, "You exceeded your current quota, please check your plan and billing details."),
    ]),
  ),
};

export function errorBody({ message, type, code }: Problem): string {
  return JSON.stringify({ error: { message, type, param: null, code } });
}

export function limitReached(model: string, { kind, limit, per, used, wanted, waitMs }: Refusal): Problem {
  const unit = kind === "requests" ? `requests per ${per} (${per === "min" ? "RPM" : "RPD"})` : "tokens per min (TPM)";
  const text = `Rate limit reached for ${model} in organization org-stub on ${unit}: Limit ${limit}, Used ${used}, Requested ${wanted}.`;
  const advice = Number.isFinite(waitMs) ? `Please try again in ${duration(waitMs)}.` : "The input or output tokens must be reduced.";
  return problem(429, kind, "rate_limit_exceeded", `${text} ${advice}`);
}

export function limitHeaders(all: readonly Headers[]): Record<string, string> {
  return Object.fromEntries(
    all.flatMap(({ kind, limit, remaining, resetMs }) => [
      [`x-ratelimit-limit-${kind}`, `${limit}`],
      [`x-ratelimit-remaining-${kind}`, `${remaining}`],
      [`x-ratelimit-reset-${kind}`, duration(resetMs)],
    ]),
  );
}

/** As in the guide's examples: `1s`, `6m0s`; below a second in milliseconds. */
function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.ceil(ms))}ms`;
  const seconds = Math.round(ms) / 1_000;
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  const rest = `${Math.round((seconds % 60) * 1_000) / 1_000}s`;
  return minutes < 60 ? `${minutes}m${rest}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${rest}`;
}

export type Said = { id: string; model: string; created: number; words: string[]; promptTokens: number };

const usage = ({ promptTokens, words }: Said) => ({
  prompt_tokens: promptTokens,
  completion_tokens: words.length,
  total_tokens: promptTokens + words.length,
});

export function completion(said: Said): string {
  const message = { role: "assistant", content: said.words.join(""), refusal: null };
  const { id, model, created } = said;
  const choices = [{ index: 0, message, logprobs: null, finish_reason: "stop" }];
  return JSON.stringify({ id, object: "chat.completion", created, model, choices, usage: usage(said) });
}

/** The events of a stream, one for each time that something is sent. */
export function events(said: Said, withUsage: boolean): string[] {
  const { id, model, created } = said;
  const chunk = (choices: object[], more: object = {}) =>
    `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created, model, choices, ...more })}\n\n`;
  const delta = (content: object, finish: string | null = null) => chunk([{ index: 0, delta: content, finish_reason: finish }]);
  return [
    delta({ role: "assistant", content: "" }),
    ...said.words.map((word) => delta({ content: word })),
    `${delta({}, "stop")}${withUsage ? chunk([], { usage: usage(said) }) : ""}data: [DONE]\n\n`,
  ];
}
