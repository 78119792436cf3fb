/** All SQL of a batch, beside that of its mailbox. */
import type { Sql } from "../../../platform/sql.ts";
import type { BatchState } from "../../../policy/batch.ts";
import type { JobEnd } from "../../../schemas/job.ts";

const TABLES = `
  -- The batch: JSON of BatchState. Written by the run, read by everybody.
  CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL
  );

  -- Lines that became no job: JSON of a problem. Written by the run, read for the error file.
  CREATE TABLE IF NOT EXISTS refused (
    line INTEGER PRIMARY KEY,
    custom_id TEXT NOT NULL,
    problem TEXT NOT NULL
  );
`;

export type RefusedRow = { line: number; custom_id: string; problem: string };
export type EndedRow = { n: number; nonce: string; accepted_at: number; status: JobEnd; error: string | null; custom_id: string };

export class BatchStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
    sql.run(TABLES);
  }

  state(): BatchState | null {
    const row = this.#sql.first<{ state: string }>("SELECT state FROM batch");
    return row && (JSON.parse(row.state) as BatchState);
  }

  put(state: BatchState): void {
    this.#sql.run("INSERT OR REPLACE INTO batch (id, state) VALUES (1, ?)", JSON.stringify(state));
  }

  refuse(row: RefusedRow): void {
    this.#sql.run("INSERT OR REPLACE INTO refused (line, custom_id, problem) VALUES (?, ?, ?)", row.line, row.custom_id, row.problem);
  }

  /** Jobs without an end. */
  open(): number {
    return this.#count("SELECT count(*) AS n FROM jobs WHERE status = 'queued'");
  }

  /** `expired`: those of the failed for which time has run out. */
  counts(): { completed: number; failed: number; expired: number } {
    return {
      completed: this.#count("SELECT count(*) AS n FROM jobs WHERE status = 'completed'"),
      failed:
        this.#count("SELECT count(*) AS n FROM refused") +
        this.#count("SELECT count(*) AS n FROM jobs WHERE status IN ('failed', 'cancelled', 'expired')"),
      expired:
        this.#count("SELECT count(*) AS n FROM refused WHERE problem ->> 'code' = 'batch_expired'") +
        this.#count("SELECT count(*) AS n FROM jobs WHERE status = 'expired'"),
    };
  }

  /** Ended jobs beyond a number, in the order of their lines. */
  ended(completed: boolean, after: number, limit: number): EndedRow[] {
    return this.#sql.all(
      `SELECT n, nonce, accepted_at, status, error, details ->> '$.batch.customId' AS custom_id
       FROM jobs WHERE n > ?1 AND status <> 'queued' AND (status = 'completed') = ?2 ORDER BY n LIMIT ?3`,
      after,
      completed ? 1 : 0,
      limit,
    );
  }

  refused(after: number, limit: number): RefusedRow[] {
    return this.#sql.all("SELECT line, custom_id, problem FROM refused WHERE line > ? ORDER BY line LIMIT ?", after, limit);
  }

  #count(query: string): number {
    return this.#sql.first<{ n: number }>(query)!.n;
  }
}
