/** All SQL of the coordinator. */

import { migrate } from "../../../platform/migrate.ts";
import type { Sql } from "../../../platform/sql.ts";
import type { LedgerRecord } from "../../../policy/ledger.ts";
import type { MailboxAddress } from "../../../schemas/rpc.ts";
import { MIGRATIONS } from "./migrations.ts";

export type TicketRow = {
  job: string;
  mailbox: number;
  pool: string;
  priority: number;
  tokens: number;
  accepted_at: number;
  not_before: number | null;
  deadline: number | null;
  phase: "waiting" | "delayed" | "leased" | "ending";
  ready_at: number;
  attempt: number;
  waits: number;
  unknown: number;
  first_started_at: number | null;
  dispatcher: string | null;
  verdict: string | null;
};

export type DeadLetterRow = {
  id: number;
  job: string;
  tenant: string;
  pool: string;
  attempts: number;
  code: string | null;
  message: string;
  failed_at: number;
};

/** Dead letters kept; older ones make room. */
export const DEAD_LETTERS_KEPT = 10_000;

export class CoordinatorStore {
  readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
    migrate(sql, MIGRATIONS);
  }

  mailboxes(): ({ id: number } & MailboxAddress)[] {
    return this.sql.all("SELECT id, tenant, channel FROM mailboxes");
  }

  addMailbox(id: number, address: MailboxAddress): void {
    this.sql.run("INSERT INTO mailboxes (id, tenant, channel) VALUES (?, ?, ?)", id, address.tenant, address.channel);
  }

  channels(tenant: string, limit: number): string[] {
    return this.sql
      .all<{ channel: string }>("SELECT channel FROM mailboxes WHERE tenant = ? ORDER BY id DESC LIMIT ?", tenant, limit)
      .map((row) => row.channel);
  }

  tickets(): Iterable<TicketRow> {
    return this.sql.each<TicketRow>("SELECT * FROM tickets");
  }

  putTicket(row: TicketRow): void {
    this.sql.run(
      `INSERT OR REPLACE INTO tickets (job, mailbox, pool, priority, tokens, accepted_at, not_before, deadline, phase, ready_at,
         attempt, waits, unknown, first_started_at, dispatcher, verdict) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.job,
      row.mailbox,
      row.pool,
      row.priority,
      row.tokens,
      row.accepted_at,
      row.not_before,
      row.deadline,
      row.phase,
      row.ready_at,
      row.attempt,
      row.waits,
      row.unknown,
      row.first_started_at,
      row.dispatcher,
      row.verdict,
    );
  }

  dropTicket(job: string): void {
    this.sql.run("DELETE FROM tickets WHERE job = ?", job);
  }

  budgets(): { pool: string; record: LedgerRecord }[] {
    return this.sql
      .all<{ pool: string; record: string }>("SELECT pool, record FROM budgets")
      .map((row) => ({ pool: row.pool, record: JSON.parse(row.record) as LedgerRecord }));
  }

  putBudget(pool: string, record: LedgerRecord): void {
    this.sql.run("INSERT OR REPLACE INTO budgets (pool, record) VALUES (?, ?)", pool, JSON.stringify(record));
  }

  addDeadLetter(letter: Omit<DeadLetterRow, "id">): void {
    this.sql.run(
      "INSERT INTO dead_letters (job, tenant, pool, attempts, code, message, failed_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
      letter.job,
      letter.tenant,
      letter.pool,
      letter.attempts,
      letter.code,
      letter.message,
      letter.failed_at,
    );
    this.sql.run("DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?", DEAD_LETTERS_KEPT);
  }

  deadLetters(before: number | null, limit: number): DeadLetterRow[] {
    return this.sql.all("SELECT * FROM dead_letters WHERE id < ? ORDER BY id DESC LIMIT ?", before ?? Number.MAX_SAFE_INTEGER, limit);
  }
}
