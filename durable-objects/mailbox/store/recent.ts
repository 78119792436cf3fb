/**
 * Jobs that have just come in, as they were written: nearly all are opened within moments, and each query to SQLite costs a lone job about a
 * fiftieth of a millisecond. Law: it says what storage says, or nothing. So a job is forgotten before its row is written again, and added only
 * once the transaction that first wrote it has succeeded.
 */
import type { JobRow } from "./store.ts";

/** Jobs kept, and characters of a request. Jobs that come in larger groups wait longer than they would be kept. */
const KEPT = 64;
const KEPT_CHARACTERS = 20_000;

export class Recent {
  readonly #jobs = new Map<number, { row: JobRow; request: string }>();

  add(jobs: readonly { row: JobRow; request: string }[]): void {
    if (jobs.length > KEPT) return;
    for (const { row, request } of jobs) if (request.length <= KEPT_CHARACTERS) this.#jobs.set(row.n, { row: { ...row }, request });
    for (const n of this.#jobs.keys()) {
      if (this.#jobs.size <= KEPT) break;
      this.#jobs.delete(n);
    }
  }

  /** A copy, because callers change the row, and may not write it. */
  row(n: number): JobRow | null {
    const known = this.#jobs.get(n);
    return known ? { ...known.row } : null;
  }

  request(n: number): string | null {
    return this.#jobs.get(n)?.request ?? null;
  }

  forget(n: number): void {
    this.#jobs.delete(n);
  }
}
