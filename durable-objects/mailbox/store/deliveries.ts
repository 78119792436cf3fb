/** All SQL of webhooks. */
import type { Sql } from "../../../platform/sql.ts";
import type { DeliveryError, DeliveryStatus } from "../../../schemas/webhook.ts";

export type DeliveryRow = {
  n: number;
  url: string;
  host: string;
  status: DeliveryStatus;
  begun_at: number;
  tries: number;
  attempts: number;
  next_at: number | null;
  last_at: number | null;
  last_status: number | null;
  last_error: DeliveryError | null;
};

/** A receiver with deliveries ahead; `next_at`: when the first of them is due. */
type Lane = { host: string; next_at: number };

const COLUMNS = "n, url, host, status, begun_at, tries, attempts, next_at, last_at, last_status, last_error";

export class DeliveryStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  add(row: Pick<DeliveryRow, "n" | "url" | "host" | "status" | "begun_at" | "next_at">): void {
    this.#sql.run(
      "INSERT INTO deliveries (n, url, host, status, begun_at, next_at) VALUES (?, ?, ?, ?, ?, ?)",
      row.n,
      row.url,
      row.host,
      row.status,
      row.begun_at,
      row.next_at,
    );
  }

  get(n: number): DeliveryRow | null {
    return this.#sql.first(`SELECT ${COLUMNS} FROM deliveries WHERE n = ?`, n);
  }

  isOpen(n: number): boolean {
    return this.#sql.first("SELECT 1 FROM deliveries WHERE n = ? AND next_at IS NOT NULL", n) !== null;
  }

  put(row: DeliveryRow): void {
    this.#sql.run(
      `UPDATE deliveries SET status = ?, begun_at = ?, tries = ?, attempts = ?, next_at = ?, last_at = ?, last_status = ?, last_error = ?
       WHERE n = ?`,
      row.status,
      row.begun_at,
      row.tries,
      row.attempts,
      row.next_at,
      row.last_at,
      row.last_status,
      row.last_error,
      row.n,
    );
  }

  /** All receivers with something ahead. Steps from host to host in the index: a long queue for one of them is not read through. */
  lanes(): Lane[] {
    return this.#sql.all(
      `WITH RECURSIVE hosts(host) AS (
         SELECT min(host) FROM deliveries WHERE next_at IS NOT NULL
         UNION ALL
         SELECT (SELECT min(host) FROM deliveries WHERE next_at IS NOT NULL AND host > hosts.host) FROM hosts WHERE hosts.host IS NOT NULL
       )
       SELECT host, (SELECT min(next_at) FROM deliveries WHERE host = hosts.host AND next_at IS NOT NULL) AS next_at
       FROM hosts WHERE host IS NOT NULL`,
    );
  }

  /** What is due at a receiver, the longest due first. */
  due(host: string, now: number, limit: number): DeliveryRow[] {
    return this.#sql.all(
      `SELECT ${COLUMNS} FROM deliveries WHERE host = ? AND next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`,
      host,
      now,
      limit,
    );
  }

  /** The first that are due at a receiver, or will be. */
  ahead(host: string, limit: number): { n: number; next_at: number }[] {
    return this.#sql.all("SELECT n, next_at FROM deliveries WHERE host = ? AND next_at IS NOT NULL ORDER BY next_at LIMIT ?", host, limit);
  }

  isGone(url: string): boolean {
    return this.#sql.first("SELECT 1 FROM gone WHERE url = ?", url) !== null;
  }

  /** The URL wants no more: what is open for it is dropped. */
  disable(url: string, host: string, now: number): void {
    this.#sql.run("INSERT OR IGNORE INTO gone (url, since) VALUES (?, ?)", url, now);
    this.#sql.run(
      "UPDATE deliveries SET status = 'disabled', next_at = NULL WHERE host = ? AND url = ? AND next_at IS NOT NULL",
      host,
      url,
    );
  }

  enable(url: string): void {
    this.#sql.run("DELETE FROM gone WHERE url = ?", url);
  }

  /** Forgets URLs that are gone since then; answers with the time of the oldest left. */
  dropGone(instant: number): number | null {
    this.#sql.run("DELETE FROM gone WHERE since <= ?", instant);
    return this.#sql.first<{ at: number | null }>("SELECT min(since) AS at FROM gone")?.at ?? null;
  }
}
