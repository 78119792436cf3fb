/** What upstream says that a call used, as far as a budget may believe it: one wrong word is not to stop a pool for days, for every tenant. */
import type { Usage } from "../schemas/job.ts";

/** No call uses as many: 128 answers of the longest, and more. Counters that wrapped say 4,294,967,295. */
const MOST = 100_000_000;

/**
 * Null of what is no count. `reserved`: by this call. `whole`: what the pool's limits let through at once at the most (Infinity without one of tokens); no limiter counts more than that
 * beyond what it let through, for it would not have let it through.
 */
export function credible({ completion_tokens, prompt_tokens, total_tokens }: Usage, reserved: number, whole: number): Usage | null {
  if (![completion_tokens, prompt_tokens, total_tokens].every((count) => Number.isSafeInteger(count) && count >= 0 && count <= MOST))
    return null;
  const bounded = (count: number) => Math.min(count, reserved + whole);
  return { prompt_tokens: bounded(prompt_tokens), completion_tokens: bounded(completion_tokens), total_tokens: bounded(total_tokens) };
}
