/** All SQL of calls: jobs that a caller waits for. */
import type { Sql } from "../../../platform/sql.ts";

export class CallStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  add(body: string, n: number, at: number): void {
    this.#sql.run("INSERT INTO calls (body, n, left_at) VALUES (?, ?, ?)", body, n, at);
  }

  /** Jobs of this body, oldest first. */
  of(body: string): number[] {
    return this.#sql.all<{ n: number }>("SELECT n FROM calls WHERE body = ? ORDER BY n", body).map(({ n }) => n);
  }

  /** Those of them that their callers are known to have left. */
  leftBehind(body: string): number[] {
    const left = "SELECT calls.n FROM calls JOIN jobs ON jobs.n = calls.n WHERE body = ? AND left_at > accepted_at ORDER BY calls.n";
    return this.#sql.all<{ n: number }>(left, body).map(({ n }) => n);
  }

  /** When the caller left, ms; null if nobody waits for the job. */
  leftAt(body: string, n: number): number | null {
    return this.#sql.first<{ left_at: number }>("SELECT left_at FROM calls WHERE body = ? AND n = ?", body, n)?.left_at ?? null;
  }

  all(): { n: number; left_at: number }[] {
    return this.#sql.all("SELECT n, left_at FROM calls ORDER BY n");
  }

  leave(body: string, n: number, at: number): void {
    this.#sql.run("UPDATE calls SET left_at = ? WHERE body = ? AND n = ?", at, body, n);
  }

  drop(body: string, n: number): void {
    this.#sql.run("DELETE FROM calls WHERE body = ? AND n = ?", body, n);
  }
}
