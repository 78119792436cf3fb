/** One limit, as an answer's headers state it. `remaining`: null if implausible. `resetMs`: until the limit is whole again; null if not stated. */
export type LimitReading = { limit: number; remaining: number | null; resetMs: number | null };
/** A reading that states what is left. */
export type FullReading = LimitReading & { remaining: number };
/** `tokens`: the organisation's; `projectTokens`: the project's, missing if no header states it. They are two buckets, and each call takes from both. */
export type RateReading = { requests: LimitReading | null; tokens: LimitReading | null; projectTokens?: LimitReading };

/** A reading on its way to the coordinator, from the answer to this job's call. Upstream computed it between `sentAt` and `at` (ms). */
export type PoolReading = RateReading & { pool: string; job: string; sentAt: number; at: number };
