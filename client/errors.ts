/** Error classes: by OpenAI's error shape if the service answered, and two for when it did not. */
import type { ErrorBody } from "../schemas/problem.ts";

type Details = Partial<ErrorBody["error"]> & {
  status?: number | null;
  requestId?: string | null;
  retryAfter?: number | null;
  cause?: unknown;
};

/** The base of all errors that the client throws, except for an abort, which throws the signal's own reason. */
export class SluiceError extends Error {
  /** The HTTP status; null if there was none (no connection, a line of JSONL, a WebSocket frame). */
  readonly status: number | null;
  /** OpenAI's error type, e.g. `invalid_request_error`. */
  readonly type: string | null;
  /** Machine-readable, e.g. `idempotency_key_conflict`. */
  readonly code: string | null;
  /** The request field at fault, if any. */
  readonly param: string | null;
  /** The answer's `x-request-id`. */
  readonly requestId: string | null;
  /** Seconds to wait before another try, as the service asks; null if it did not say. */
  readonly retryAfter: number | null;
  /** For `deadline_unreachable`: when the job could start at the earliest, Unix seconds. */
  readonly earliestPossible: number | null;

  constructor(message: string, details: Details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.status = details.status ?? null;
    this.type = details.type ?? null;
    this.code = details.code ?? null;
    this.param = details.param ?? null;
    this.requestId = details.requestId ?? null;
    this.retryAfter = details.retryAfter ?? null;
    this.earliestPossible = details.earliest_possible ?? null;
  }
}

/** 400, 413 and other refusals of what was sent. */
export class BadRequestError extends SluiceError {}
/** 401: no key, a wrong key, or an expired token. */
export class AuthenticationError extends SluiceError {}
/** 403: the key or token may not do this. */
export class PermissionError extends SluiceError {}
/** 404: no such job, or it belongs to another tenant. */
export class NotFoundError extends SluiceError {}
/** 409: the Idempotency-Key was used for another request. */
export class ConflictError extends SluiceError {}
/** 5xx. */
export class ServerError extends SluiceError {}
/** The service could not be reached, or the connection broke. */
export class ConnectionError extends SluiceError {}
/** No answer in time. */
export class TimeoutError extends SluiceError {}

/** 429: too many jobs are queued already, or too much came at once; see `retryAfter`. */
export class RateLimitError extends SluiceError {}

const BY_STATUS = new Map([
  [401, AuthenticationError],
  [403, PermissionError],
  [404, NotFoundError],
  [409, ConflictError],
  [429, RateLimitError],
]);

/** A line of JSONL or a frame has no status, so its type and code decide. */
const BY_WORD = new Map([
  ["authentication_error", AuthenticationError],
  ["permission_error", PermissionError],
  ["rate_limit_error", RateLimitError],
  ["server_error", ServerError],
  ["unavailable", ServerError],
  ["job_not_found", NotFoundError],
  ["channel_not_allowed", PermissionError],
  ["idempotency_key_conflict", ConflictError],
]);

/** The error for what the service said. `error` may be anything: intermediaries between client and service may answer too. */
export function errorFrom(error: unknown, about: { status?: number; requestId?: string | null; retryAfter?: number | null } = {}) {
  const said = (typeof error === "object" && error !== null ? error : {}) as Partial<ErrorBody["error"]>;
  const message = typeof said.message === "string" ? said.message : `The service answered ${about.status ?? "with an error"}.`;
  const { status } = about;
  const byWord = BY_WORD.get(said.code ?? "") ?? BY_WORD.get(said.type ?? "");
  const fallback = status === undefined ? byWord : status >= 500 ? ServerError : undefined;
  const Kind = (status === undefined ? undefined : BY_STATUS.get(status)) ?? fallback ?? BadRequestError;
  return new Kind(message, { ...said, ...about });
}
