/** Answers in OpenAI's shapes. */
import type { ZodError } from "zod";
import type { ErrorBody, Problem } from "../../schemas/problem.ts";

export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json; charset=utf-8", ...headers } });
}

export function errorBody({ status: _, ...error }: Problem): ErrorBody {
  return { error };
}

export function refuse(problem: Problem, headers: Record<string, string> = {}): Response {
  const retry: Record<string, string> = problem.status === 503 || problem.status === 429 ? { "retry-after": "1" } : {};
  return json(errorBody(problem), problem.status, { ...retry, ...headers });
}

export function invalid(message: string, param: string | null = null, code: string | null = null, status = 400): Problem {
  return { status, type: "invalid_request_error", code, message, param };
}

/** A bad URL parameter or header, or a body field without an error code of its own. */
export function badParameter(message: string, param: string | null): Problem {
  return invalid(message, param, "invalid_parameter");
}

/** For a token that does not cover the channel, or that covers several when none was named. */
export function notThatChannel(code: "channel_required" | "channel_not_allowed"): Problem {
  if (code === "channel_required") return invalid("This token covers several channels: name one in `channel`.", "channel", code);
  return { status: 403, type: "permission_error", code, message: "This token may not use that channel.", param: "channel" };
}

/** For a token that tries what only keys may do. */
export function notByToken(what: string, param: string | null = null): Problem {
  return { status: 403, type: "permission_error", code: "insufficient_permissions", message: `A token may not ${what}.`, param };
}

/** For a token request to a deployment that has no secret to sign tokens with. */
export function noTokens(): Problem {
  const message = "This deployment cannot create tokens: its operator must set SLUICE_TOKEN_SECRET.";
  return { status: 501, type: "server_error", code: "tokens_not_configured", message, param: null };
}

export function noSuchJob(id: string): Problem {
  return invalid(`No job with the id "${id.slice(0, 200)}".`, "id", "job_not_found", 404);
}

export function noSuchBatch(id: string): Problem {
  return invalid(`No batch found with id '${id.slice(0, 200)}'.`, "id", null, 404);
}

/** The first fault that a schema finds in a body. */
export function malformed({ issues: [issue] }: ZodError, code = "invalid_parameter"): Problem {
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
  const param = [...(issue?.path ?? []), ...unknown].join(".").slice(0, 200) || null;
  return invalid(`${param ? `${param}: ` : ""}${issue?.message ?? "The body is malformed."}`, param, code);
}

/** Decodes a name in a path. If it is badly encoded, it matches nothing and is returned unchanged. */
export function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** A page in the shape of OpenAI's lists. */
export function page(data: { id: string }[], has_more: boolean) {
  return { object: "list", data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more };
}
