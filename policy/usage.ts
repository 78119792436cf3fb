/** What upstream says that a call used, as far as a budget may believe it: one wrong figure must not stop a pool for days, for every tenant. */
import type { Usage } from "../schemas/job.ts";

/** Tokens. No call uses as many, not even with 128 of the longest answers. Counters that wrapped show 4,294,967,295. */
const MOST = 100_000_000;

/**
 * Null if these are not counts. `reserved`: by this call. `whole`: the most that the pool's limits let through at once (Infinity without one of tokens). No
 * limiter counts more than that on top of what it let through, because it would not have let that through.
 */
export function credible({ completion_tokens, prompt_tokens, total_tokens }: Usage, reserved: number, whole: number): Usage | null {
  if (![completion_tokens, prompt_tokens, total_tokens].every((count) => Number.isSafeInteger(count) && count >= 0 && count <= MOST))
    return null;
  const bounded = (count: number) => Math.min(count, reserved + whole);
  return { prompt_tokens: bounded(prompt_tokens), completion_tokens: bounded(completion_tokens), total_tokens: bounded(total_tokens) };
}
