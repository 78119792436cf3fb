/** One limit as an answer's headers tell it. `remaining`: null if it makes no sense; `resetMs`: until all of it is free again; null if they do not say. */
export type LimitReading = { limit: number; remaining: number | null; resetMs: number | null };
/** One that tells what is left of the limit. */
export type FullReading = LimitReading & { remaining: number };
/** `tokens`: of the organisation; `projectTokens`: of the project, missing where no header tells. They are two buckets, and each call takes from both. */
export type RateReading = { requests: LimitReading | null; tokens: LimitReading | null; projectTokens?: LimitReading };

/** A reading on its way to the coordinator, of the answer to this job's call. Times in ms: upstream reckoned it between them. */
export type PoolReading = RateReading & { pool: string; job: string; sentAt: number; at: number };
