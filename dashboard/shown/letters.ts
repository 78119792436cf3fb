/** How dead letters are shown. */
import { duration, name } from "./words.ts";

/** An item of `GET /v1/dead-letters`. Time in Unix seconds. */
export type Letter = {
  id: string;
  job: string;
  tenant: string;
  pool: string;
  attempts: number;
  error: { code: string | null; message: string };
  failed_at: number;
};
type LetterView = { id: string; job: string; of: string; when: string; why: string };

/** `now` in ms. */
export function letterView({ attempts, error, failed_at, id, job, pool, tenant }: Letter, now: number): LetterView {
  return {
    id,
    job: name(job),
    of: `${name(tenant)} · ${name(pool)}`,
    when: `${duration(now / 1_000 - failed_at)} ago, after ${attempts} attempt${attempts === 1 ? "" : "s"}`,
    why: name(`${error.code === null ? "" : `${error.code}: `}${error.message}`),
  };
}

/** What became of redriving one job: the new job's id, or why there is none. */
export function redriven(answer: unknown): { ok: true; words: string } | { ok: false; words: string } {
  const [first] = (answer as { data?: ({ id?: string; error?: { message: string } | null } | undefined)[] }).data ?? [];
  if (first?.id) return { ok: true, words: `The new job is ${name(first.id)}.` };
  return { ok: false, words: first?.error ? name(first.error.message) : "The service did not say whether the job was submitted." };
}
