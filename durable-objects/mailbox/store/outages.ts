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

  /** Since when one may lack events (ms); null if it was told. */
  since(lobby: string): number | null {
    return this.#sql.first<{ since: number }>("SELECT since FROM outages WHERE lobby = ?", lobby)?.since ?? null;
  }

  put({ failures, lobby, since, until }: OutageRow): void {
    this.#sql.run("INSERT OR REPLACE INTO outages (lobby, since, failures, until) VALUES (?, ?, ?, ?)", lobby, since, failures, until);
  }

  drop(lobby: string): void {
    this.#sql.run("DELETE FROM outages WHERE lobby = ?", lobby);
  }
}
