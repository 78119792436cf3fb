/** Lobbies that could not be told of events. */
import type { Sql } from "../../../platform/sql.ts";

export type OutageRow = { lobby: string; since: number; failures: number; until: number };

export class OutageStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  all(): OutageRow[] {
    return this.#sql.all("SELECT lobby, since, failures, until FROM outages");
  }

  /**
   * Of the newest jobs those that have not ended and of which something happened from then on (ms), or may have: deltas bear no time. `at`: of the newest
   * event but for these.
   */
  openJobs(at: number, newest: number): { n: number; at: number; streams: number }[] {
    return this.#sql.all(
      `SELECT * FROM (
         SELECT n, max(accepted_at, coalesce(log ->> '$[#-1][2]', 0)) AS at, EXISTS (SELECT 1 FROM delta_rows WHERE delta_rows.n = jobs.n) AS streams
         FROM jobs WHERE n > (SELECT max(n) FROM jobs) - ?2 AND status = 'queued'
       ) WHERE at >= ?1 OR streams ORDER BY n`,
      at,
      newest,
    );
  }

  put({ failures, lobby, since, until }: OutageRow): void {
    this.#sql.run("INSERT OR REPLACE INTO outages (lobby, since, failures, until) VALUES (?, ?, ?, ?)", lobby, since, failures, until);
  }

  drop(lobby: string): void {
    this.#sql.run("DELETE FROM outages WHERE lobby = ?", lobby);
  }
}
