/** Lobbies that could not be told of events. */
import type { Sql } from "../../../platform/sql.ts";

export type OutageRow = { lobby: string; since: number; failures: number; until: number };

/** ms. A new job is told once the coordinator has confirmed it: some time after it was accepted, which is the time that is stored. */
export const CONFIRMED_MS = 10_000;

/** Condition on a job: it has not ended, and something happened to it from an instant on (?1, ms), or may have, as deltas carry no time. */
const HAPPENED = `status = 'queued' AND (
  coalesce(log ->> '$[#-1][2]', accepted_at + ${CONFIRMED_MS}) >= ?1 OR EXISTS (SELECT 1 FROM delta_rows WHERE delta_rows.n = jobs.n)
)`;

export class OutageStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  all(): OutageRow[] {
    return this.#sql.all("SELECT lobby, since, failures, until FROM outages");
  }

  /**
   * Open jobs to which something may have happened since an instant (ms), newest first, from a stretch of `span` numbers before `before`. `below`: the next
   * stretch's `before`, null if there is none.
   */
  openJobs(since: number, before: number, span: number): { jobs: number[]; below: number | null } {
    const last = this.#sql.first<{ n: number | null }>("SELECT max(n) AS n FROM jobs WHERE n < ?", before)!.n;
    if (last === null) return { jobs: [], below: null };
    const below = last - span + 1;
    const rows = this.#sql.all<{ n: number }>(
      `SELECT n FROM jobs WHERE n >= ?2 AND n < ?3 AND ${HAPPENED} ORDER BY n DESC`,
      since,
      below,
      before,
    );
    return { jobs: rows.map(({ n }) => n), below };
  }

  /** The same, among these jobs. */
  openAmong(since: number, jobs: number[]): number[] {
    const numbers = JSON.stringify(jobs);
    const rows = this.#sql.all<{ n: number }>(
      `SELECT n FROM jobs WHERE n IN (SELECT value FROM json_each(?2)) AND ${HAPPENED} ORDER BY n DESC`,
      since,
      numbers,
    );
    return rows.map(({ n }) => n);
  }

  put({ failures, lobby, since, until }: OutageRow): void {
    this.#sql.run("INSERT OR REPLACE INTO outages (lobby, since, failures, until) VALUES (?, ?, ?, ?)", lobby, since, failures, until);
  }

  drop(lobby: string): void {
    this.#sql.run("DELETE FROM outages WHERE lobby = ?", lobby);
  }
}
