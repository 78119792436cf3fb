/**
 * How browser tokens were used: how many jobs came in by each token that may submit only so many, and which tokens were revoked. Law: a job and its
 * count are one commit; a job that comes again is not counted again.
 */
import type { Problem } from "../../schemas/problem.ts";
import type { Pass } from "../../schemas/token.ts";
import type { PassStore } from "./store/passes.ts";

export class Quotas {
  readonly #store: PassStore;
  /** Counted in this turn, not written yet. */
  readonly #counted = new Map<string, { jobs: number; expiresAt: number }>();

  constructor(store: PassStore) {
    this.#store = store;
  }

  /** Why nothing more is accepted from a token; null if it is. */
  refusal({ id }: Pass): Problem | null {
    return this.#store.find(id)?.revoked ? revoked() : null;
  }

  /** Why a token may not submit another job; null if it may, and then the job is counted. */
  take({ expiresAt, id, maxJobs }: Pass): Problem | null {
    if (maxJobs === null) return null;
    const counted = this.#counted.get(id)?.jobs ?? 0;
    if ((this.#store.find(id)?.jobs ?? 0) + counted >= maxJobs) return exhausted(maxJobs);
    this.#counted.set(id, { jobs: counted + 1, expiresAt });
    return null;
  }

  /** Writes the counts, within the commit of the jobs. `wakeBy` is told when they may be forgotten (ms). */
  write(wakeBy: (at: number) => void): void {
    for (const [id, { jobs, expiresAt }] of this.#counted) {
      this.#store.count(id, jobs, expiresAt);
      wakeBy(expiresAt);
    }
  }

  /** The turn is over, whatever became of its commit. */
  clear(): void {
    this.#counted.clear();
  }

  /** The coordinator refused a job that was counted. */
  giveBack({ expiresAt, id, maxJobs }: Pass): void {
    if (maxJobs !== null) this.#store.count(id, -1, expiresAt);
  }
}

function exhausted(most: number): Problem {
  const message = `This token may submit only ${most} ${most === 1 ? "job" : "jobs"}, and has already done so.`;
  return { status: 403, type: "permission_error", code: "token_jobs_exhausted", message, param: null };
}

function revoked(): Problem {
  return { status: 401, type: "authentication_error", code: "token_revoked", message: "The token was revoked.", param: null };
}
