/** All SQL of consumers. */
import type { Sql } from "../../../platform/sql.ts";

export class ConsumerStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** How many names begin with the prefix. */
  count(prefix = ""): number {
    const counted = "SELECT count(*) AS count FROM consumers WHERE substr(name, 1, length(?1)) = ?1";
    return this.#sql.first<{ count: number }>(counted, prefix)!.count;
  }

  cursor(name: string): number | null {
    return this.#sql.first<{ cursor: number }>("SELECT cursor FROM consumers WHERE name = ?", name)?.cursor ?? null;
  }

  put(name: string, cursor: number, at: number): void {
    this.#sql.run("INSERT OR REPLACE INTO consumers (name, cursor, seen_at) VALUES (?, ?, ?)", name, cursor, at);
  }

  saw(name: string, at: number): void {
    this.#sql.run("UPDATE consumers SET seen_at = ? WHERE name = ?", at, name);
  }

  /** Drops consumers that are not connected and were last seen by `instant` (ms); returns the oldest such time that is left, null if none is. */
  drop(instant: number): number | null {
    const away = "name NOT IN (SELECT consumer FROM subscriptions WHERE consumer IS NOT NULL)";
    this.#sql.run(`DELETE FROM consumers WHERE seen_at <= ? AND ${away}`, instant);
    return this.#sql.first<{ at: number | null }>(`SELECT min(seen_at) AS at FROM consumers WHERE ${away}`)?.at ?? null;
  }
}
