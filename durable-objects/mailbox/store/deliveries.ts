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

/** A receiver with open deliveries; `next_at`: when the first of them is due. */
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

  /** All receivers with open deliveries. Steps from host to host in the index, so that a long queue for one of them is not read through. */
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

  /** Deliveries due at a receiver, the longest overdue first. */
  due(host: string, now: number, limit: number): DeliveryRow[] {
    return this.#sql.all(
      `SELECT ${COLUMNS} FROM deliveries WHERE host = ? AND next_at IS NOT NULL AND next_at <= ? ORDER BY next_at LIMIT ?`,
      host,
      now,
      limit,
    );
  }

  /** The next deliveries to a receiver, due already or later. */
  ahead(host: string, limit: number): { n: number; next_at: number }[] {
    return this.#sql.all("SELECT n, next_at FROM deliveries WHERE host = ? AND next_at IS NOT NULL ORDER BY next_at LIMIT ?", host, limit);
  }

  isGone(url: string): boolean {
    return this.#sql.first("SELECT 1 FROM gone WHERE url = ?", url) !== null;
  }

  /** The URL wants no more events: its open deliveries are disabled. */
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

  /** Forgets URLs that have been gone since `instant` (ms) or longer; returns since when the oldest one left is gone, null if none is. */
  dropGone(instant: number): number | null {
    this.#sql.run("DELETE FROM gone WHERE since <= ?", instant);
    return this.#sql.first<{ at: number | null }>("SELECT min(since) AS at FROM gone")?.at ?? null;
  }
}
