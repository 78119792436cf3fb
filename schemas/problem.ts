/** An expected end that is not a success. Crosses RPC as a value, never as an exception. */
export type Problem = {
  /** HTTP status that the doors answer with. */
  status: number;
  /** OpenAI's error type, e.g. `invalid_request_error`. */
  type: string;
  /** Machine-readable code, e.g. `idempotency_key_conflict`. */
  code: string | null;
  message: string;
  /** The request field at fault, if one is. */
  param: string | null;
  /** Of `deadline_unreachable`: when the job could start at the earliest, Unix seconds. */
  earliest_possible?: number;
  /** Upstream's `x-request-id` of the call that ended so, if it gave one: what its support asks for. */
  upstream_request_id?: string;
};

/** OpenAI's error envelope, used by every door. */
export type ErrorBody = { error: Omit<Problem, "status"> };

export type Refused = { ok: false; problem: Problem };
