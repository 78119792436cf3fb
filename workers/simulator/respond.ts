import type { Problem } from "./errors.ts";
import { hash, Random } from "./random.ts";
import type { World } from "./world.ts";

/** Headers that OpenAI puts on every answer. */
export function commonHeaders(world: World, startedAt: number): Record<string, string> {
  return {
    "openai-organization": "org-sim",
    "openai-version": "2020-10-01",
    "openai-processing-ms": String(Math.max(0, Date.now() - startedAt)),
    "x-request-id": `req_${new Random(hash(`request ${++world.ordinal}`, world.settings.seed)).letters(32).toLowerCase()}`,
  };
}

export function respondJson(body: object, headers: Record<string, string>, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { ...headers, "content-type": "application/json" } });
}

export function respondProblem({ status, error, retryAfterMs, shouldRetry }: Problem, headers: Record<string, string>): Response {
  const wait: Record<string, string> = {};
  if (shouldRetry !== undefined) wait["x-should-retry"] = String(shouldRetry);
  if (retryAfterMs !== undefined) {
    // The HTTP standard allows only whole seconds, so they are rounded up; the SDKs look at the milliseconds first.
    wait["retry-after"] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
    wait["retry-after-ms"] = String(retryAfterMs);
  }
  return respondJson({ error }, { ...headers, ...wait }, status);
}
