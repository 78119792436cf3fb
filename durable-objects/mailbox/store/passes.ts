/** All SQL of browser tokens. */
import type { Sql } from "../../../platform/sql.ts";

export class PassStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Null if nothing had to be remembered of the token. */
  find(id: string): { jobs: number; revoked: boolean } | null {
    const row = this.#sql.first<{ jobs: number; revoked: number }>("SELECT jobs, revoked FROM passes WHERE id = ?", id);
    return row && { jobs: row.jobs, revoked: row.revoked === 1 };
  }

  /** Adds to the token's count of jobs; negative `jobs` take some back. `expiresAt` in ms. */
  count(id: string, jobs: number, expiresAt: number): void {
    this.#sql.run(
      "INSERT INTO passes (id, jobs, expires_at) VALUES (?1, max(?2, 0), ?3) ON CONFLICT (id) DO UPDATE SET jobs = max(jobs + ?2, 0)",
      id,
      jobs,
      expiresAt,
    );
  }

  revoke(id: string, expiresAt: number): void {
    this.#sql.run(
      "INSERT INTO passes (id, revoked, expires_at) VALUES (?, 1, ?) ON CONFLICT (id) DO UPDATE SET revoked = 1",
      id,
      expiresAt,
    );
  }

  /** Forgets tokens that expired by `instant` (ms); returns when the next of the others expires, null if there is none. */
  drop(instant: number): number | null {
    const { next } = this.#sql.first<{ next: number | null }>("SELECT min(expires_at) AS next FROM passes")!;
    if (next === null || next > instant) return next;
    this.#sql.run("DELETE FROM passes WHERE expires_at <= ?", instant);
    return this.#sql.first<{ next: number | null }>("SELECT min(expires_at) AS next FROM passes")!.next;
  }
}
