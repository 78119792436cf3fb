/** All SQL of a batch, besides that of its mailbox. */
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
/** `bytes`: of its answer, null if it has none. */
export type EndedRow = {
  n: number;
  nonce: string;
  accepted_at: number;
  status: JobEnd;
  error: string | null;
  custom_id: string;
  bytes: number | null;
};

/** `expired`: those of the failed whose time had run out. */
export type Counts = { open: number; completed: number; failed: number; expired: number };

/** `n` more jobs have this status. */
export function count(counts: Counts, status: "queued" | JobEnd, n: number): void {
  counts[status === "queued" ? "open" : status === "completed" ? "completed" : "failed"] += n;
  if (status === "expired") counts.expired += n;
}

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

  /** Returns whether that is new. */
  refuse({ custom_id, line, problem }: RefusedRow): boolean {
    const known = this.#sql.first("SELECT 1 FROM refused WHERE line = ?", line);
    if (!known) this.#sql.run("INSERT INTO refused (line, custom_id, problem) VALUES (?, ?, ?)", line, custom_id, problem);
    return !known;
  }

  /** The lines of the `newest` newest jobs. */
  linesOf(newest: number): Set<number> {
    const lines = "SELECT details ->> '$.batch.line' AS line FROM jobs ORDER BY n DESC LIMIT ?";
    return new Set(this.#sql.all<{ line: number }>(lines, newest).map(({ line }) => line));
  }

  /** Reads every row: called only at wake. */
  counts(): Counts {
    const counts: Counts = { open: 0, completed: 0, failed: 0, expired: 0 };
    for (const { n, status } of this.#sql.all<{ n: number; status: "queued" | JobEnd }>(
      "SELECT status, count(*) AS n FROM jobs GROUP BY status",
    ))
      count(counts, status, n);
    const refused = this.#sql.first<{ n: number; expired: number }>(
      "SELECT count(*) AS n, count(CASE WHEN problem ->> 'code' = 'batch_expired' THEN 1 END) AS expired FROM refused",
    )!;
    counts.failed += refused.n;
    counts.expired += refused.expired;
    return counts;
  }

  /** Ended jobs after a number, in the order in which they became jobs. SQLite knows the length of an answer without reading it. */
  ended(completed: boolean, after: number, limit: number): EndedRow[] {
    return this.#sql.all(
      `SELECT n, nonce, accepted_at, status, error, details ->> '$.batch.customId' AS custom_id,
         coalesce(octet_length(response), (SELECT sum(octet_length(text)) FROM parts WHERE parts.n = jobs.n AND kind = 'response')) AS bytes
       FROM jobs WHERE n > ?1 AND status <> 'queued' AND (status = 'completed') = ?2 ORDER BY n LIMIT ?3`,
      after,
      completed ? 1 : 0,
      limit,
    );
  }

  refused(after: number, limit: number): RefusedRow[] {
    return this.#sql.all("SELECT line, custom_id, problem FROM refused WHERE line > ? ORDER BY line LIMIT ?", after, limit);
  }
}
