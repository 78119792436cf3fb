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

  /** Jobs with this body whose answers were not sent, oldest first. */
  of(body: string): number[] {
    return this.#sql.all<{ n: number }>("SELECT n FROM calls WHERE body = ? AND sent_at IS NULL ORDER BY n", body).map(({ n }) => n);
  }

  /** Those among them whose callers are known to have left. */
  leftBehind(body: string): number[] {
    const left =
      "SELECT calls.n FROM calls JOIN jobs ON jobs.n = calls.n WHERE body = ? AND sent_at IS NULL AND left_at > accepted_at ORDER BY calls.n";
    return this.#sql.all<{ n: number }>(left, body).map(({ n }) => n);
  }

  /** When the caller left, ms (until it does, when the job was accepted); null if there is no such call. */
  leftAt(body: string, n: number): number | null {
    return this.#sql.first<{ left_at: number }>("SELECT left_at FROM calls WHERE body = ? AND n = ?", body, n)?.left_at ?? null;
  }

  /** Until when the caller was promised that the job lives on, ms; null if it was not, or is back. */
  promisedUntil(body: string, n: number): number | null {
    const row = this.#sql.first<{ promised_until: number | null }>("SELECT promised_until FROM calls WHERE body = ? AND n = ?", body, n);
    return row?.promised_until ?? null;
  }

  /** Jobs with this body whose answers were sent after `since`, or whose clients gave up between then and now (ms); newest answer first. */
  sent(body: string, since: number, now: number): number[] {
    const sent = `SELECT n FROM calls WHERE body = ?1 AND sent_at IS NOT NULL AND (sent_at > ?2 OR (gives_up_at > ?2 AND gives_up_at <= ?3))
      ORDER BY sent_at DESC, n DESC`;
    return this.#sql.all<{ n: number }>(sent, body, since, now).map(({ n }) => n);
  }

  /** Calls whose jobs have not ended. */
  open(): { n: number; left_at: number; promised_until: number | null }[] {
    return this.#sql.all(
      "SELECT calls.n, left_at, promised_until FROM calls JOIN jobs ON jobs.n = calls.n WHERE status = 'queued' ORDER BY calls.n",
    );
  }

  leave(body: string, n: number, at: number): void {
    this.#sql.run("UPDATE calls SET left_at = ? WHERE body = ? AND n = ?", at, body, n);
  }

  promise(body: string, n: number, until: number | null): void {
    this.#sql.run("UPDATE calls SET promised_until = ? WHERE body = ? AND n = ?", until, body, n);
  }

  /** `givesUpAt`: when its client gives up if the answer does not arrive, ms; null if it would not try again then. */
  noteSent(body: string, n: number, at: number, givesUpAt: number | null): void {
    this.#sql.run("UPDATE calls SET sent_at = ?, gives_up_at = ? WHERE body = ? AND n = ?", at, givesUpAt, body, n);
  }

  /** Drops calls answered by `sent`, unless their clients give up after it; calls of cancelled jobs; and unfetched ones that ended before `ended` (ms). */
  dropOver(sent: number, ended: number): void {
    this.#sql.run("DELETE FROM calls WHERE sent_at <= ?1 AND (gives_up_at IS NULL OR gives_up_at <= ?1)", sent);
    this.#sql.run(
      `DELETE FROM calls WHERE sent_at IS NULL
       AND EXISTS (SELECT 1 FROM jobs WHERE jobs.n = calls.n AND (status = 'cancelled' OR ended_at < ?))`,
      ended,
    );
  }
}
