/** An expected failure. Crosses RPC as a value, never as an exception. */
export type Problem = {
  /** HTTP status that the doors answer with. */
  status: number;
  /** OpenAI's error type, e.g. `invalid_request_error`. */
  type: string;
  /** Machine-readable code, e.g. `idempotency_key_conflict`. */
  code: string | null;
  message: string;
  /** The request field at fault, if there is one. */
  param: string | null;
  /** For `deadline_unreachable`: the earliest time the job could start, Unix seconds. */
  earliest_possible?: number;
  /** `x-request-id` of the failed upstream call, if upstream sent one: its support asks for it. */
  upstream_request_id?: string;
};

/** OpenAI's error envelope, used by every door. */
export type ErrorBody = { error: Omit<Problem, "status"> };

export type Refused = { ok: false; problem: Problem };
