/** All SQL of the coordinator. */

import { migrate } from "../../../platform/migrate.ts";
import type { Sql } from "../../../platform/sql.ts";
import type { LearnedRecord } from "../../../policy/bounds.ts";
import type { Kind } from "../../../policy/lane.ts";
import type { Failure } from "../../../policy/last-failure.ts";
import type { LedgerRecord } from "../../../policy/ledger.ts";
import type { Outputs } from "../../../policy/outputs.ts";
import type { Place } from "../../../policy/queue.ts";
import type { Standing } from "../../../policy/standing.ts";
import type { DeadLetter, Doubts } from "../../../schemas/queue.ts";
import type { MailboxAddress, Ticket } from "../../../schemas/rpc.ts";
import type { Tunings } from "../../../schemas/tuning.ts";
import { MIGRATIONS } from "./migrations.ts";

/** Kept among the conditions, where an older version skips what it does not know: a table of its own would rule out going back to that version. */
const TUNINGS = "tunings";

/**
 * What was enqueued and never changes, except `behind`, `charged` and `failure`. An older version can read such a row, and drops what it does not know.
 * Times in ms.
 */
type Fixed = {
  pool: string;
  priority: number;
  tokens: number;
  /** How many of these are the prompt's; missing if no growth limit needs it. */
  prompt?: number | undefined;
  accepted_at: number;
  not_before: number | null;
  /** It stands behind everything that came until then (ms), because it was refused more than others. Missing for most. */
  behind?: number;
  deadline: number | null;
  /** Order of arrival here; decides between tickets of one instant, after a restart too. */
  arrival: number;
  /** Missing if the job's answer is bounded. */
  open?: Ticket["open"] | undefined;
  /**
   * Of a lease: tokens that its flow was charged, what that was then in ms of the pool's rate, whether it is kept even if the call uses less, and whether
   * another flow competed with it. Missing without a lease, and for one that an older version dispatched.
   */
  charged?: [tokens: number, ms: number, keeps: boolean, competed?: boolean] | undefined;
  /** A repeat of a job whose last call had an unknown outcome; else missing. */
  doubtful?: true | undefined;
  /** Missing if none of its calls came to nothing, or an older version has written the row since. */
  failure?: Failure | undefined;
};

type TicketState = {
  job: string;
  mailbox: number;
  phase: "waiting" | "delayed" | "leased" | "ending";
  ready_at: number;
  attempt: number;
  waits: number;
  unknown: number;
  first_started_at: number | null;
  dispatcher: string | null;
  verdict: string | null;
  doubt: 0 | 1;
};

export type TicketRow = TicketState & Fixed;
type SegmentRow = { id: number; mailbox: number; tickets: string; out: ArrayBuffer | null };
/** `out`: the marks. `tickets`: those that still wait in the segment, with their index in it. */
export type StoredSegment = { id: number; mailbox: number; size: number; out: Uint8Array; tickets: { row: TicketRow; index: number }[] };

/** What is known of a resting segment; counts only its tickets that still wait. Times in ms. */
export type Summary = {
  pool: string;
  size: number;
  /** Reserved by all, and by the smallest; the latter is missing in older records. */
  tokens: number;
  smallest?: number;
  /** What some of them reserve, from the smallest to the largest, as many jobs apart; missing in older records, and if all are alike. */
  sizes?: number[];
  /** How many jobs of each priority. */
  priorities: [number, number][];
  /** How many of these take more of the requests; missing in older records. */
  requests?: number[];
  /** Where the first and last job of each priority stand, if there are several priorities; missing in older records. */
  bands?: [Place, Place][];
  /** Since when the first of them has waited. */
  since: number;
  /** The first deadline; null if there is none. */
  deadline: number | null;
  first: Place;
  last: Place;
  firstOf: Record<Kind, Place | null>;
  /** The last arrival. */
  arrival: number;
  /** The mailbox as ids name it, and the least and greatest of the jobs' numbers there. */
  site: string;
  numbers: [number, number];
};
type Stored = TicketState & { fixed: string };

/** `standing`: the order's, if it was written before a sleep. */
export type PoolRecord = LedgerRecord & { standing?: Standing };

/** Dead letters kept; beyond this the oldest are deleted. */
export const DEAD_LETTERS_KEPT = 10_000;

export class CoordinatorStore {
  readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
    migrate(sql, MIGRATIONS);
  }

  mailbox(id: number): MailboxAddress | null {
    return this.sql.first("SELECT tenant, channel FROM mailboxes WHERE id = ?", id);
  }

  mailboxNumber({ channel, tenant }: MailboxAddress): number | null {
    return this.sql.first<{ id: number }>("SELECT id FROM mailboxes WHERE tenant = ? AND channel = ?", tenant, channel)?.id ?? null;
  }

  /** 0 if there is none. */
  lastMailbox(): number {
    return this.sql.first<{ id: number }>("SELECT coalesce(max(id), 0) AS id FROM mailboxes")?.id ?? 0;
  }

  addMailbox(id: number, address: MailboxAddress): void {
    this.sql.run("INSERT INTO mailboxes (id, tenant, channel) VALUES (?, ?, ?)", id, address.tenant, address.channel);
  }

  channels(tenant: string, limit: number): string[] {
    return this.sql
      .all<{ channel: string }>(
        "SELECT channel FROM mailboxes WHERE tenant = ? AND channel NOT LIKE '~batch-%' ORDER BY id DESC LIMIT ?",
        tenant,
        limit,
      )
      .map((row) => row.channel);
  }

  *tickets(): Iterable<TicketRow> {
    for (const { fixed, ...state } of this.sql.each<Stored>("SELECT * FROM tickets")) yield { ...state, ...(JSON.parse(fixed) as Fixed) };
  }

  putTicket(row: TicketRow): void {
    const fixed = JSON.stringify(fixedOf(row));
    if (row.phase === "waiting" && row.attempt === 0 && row.doubt === 0) {
      // Most tickets are like this; each bound value costs half a microsecond.
      this.sql.run("INSERT OR REPLACE INTO tickets (job, mailbox, fixed) VALUES (?, ?, ?)", row.job, row.mailbox, fixed);
      return;
    }
    this.sql.run(
      `INSERT OR REPLACE INTO tickets (job, mailbox, fixed, phase, ready_at, attempt, waits, unknown, first_started_at, dispatcher, verdict, doubt)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.job,
      row.mailbox,
      fixed,
      row.phase,
      row.ready_at,
      row.attempt,
      row.waits,
      row.unknown,
      row.first_started_at,
      row.dispatcher,
      row.verdict,
      row.doubt,
    );
  }

  /** Writes waiting tickets of one mailbox together, as one row. */
  addSegment(id: number, mailbox: number, rows: TicketRow[]): void {
    const tickets = JSON.stringify(rows.map((row) => [row.job, fixedOf(row)]));
    // The marks take their room at once: a row that keeps its length is updated in place, so that the pages with its five kilobytes of tickets are not
    // written with each start.
    const marks = new Uint8Array(Math.ceil(rows.length / 8));
    this.sql.run("INSERT INTO segments (id, mailbox, tickets, out) VALUES (?, ?, ?, ?)", id, mailbox, tickets, marks.buffer);
  }

  /** Leaves its tickets out of memory, now and at wake. */
  rest(id: number, mailbox: number, summary: Summary): void {
    this.sql.run("INSERT OR REPLACE INTO resting (segment, mailbox, summary) VALUES (?, ?, ?)", id, mailbox, JSON.stringify(summary));
  }

  resting(): { segment: number; mailbox: number; summary: Summary }[] {
    return this.sql
      .all<{ segment: number; mailbox: number; summary: string }>("SELECT segment, mailbox, summary FROM resting ORDER BY segment")
      .map((row) => ({ ...row, summary: JSON.parse(row.summary) as Summary }));
  }

  dropResting(segment: number): void {
    this.sql.run("DELETE FROM resting WHERE segment = ?", segment);
  }

  markSegment(id: number, out: Uint8Array): void {
    this.sql.run("UPDATE segments SET out = ? WHERE id = ?", out.buffer as ArrayBuffer, id);
  }

  dropSegment(id: number): void {
    this.sql.run("DELETE FROM segments WHERE id = ?", id);
  }

  /** Segments that do not rest. */
  *segments(): Iterable<StoredSegment> {
    const rows = this.sql.each<SegmentRow>(
      "SELECT id, mailbox, tickets, out FROM segments WHERE id NOT IN (SELECT segment FROM resting) ORDER BY id",
    );
    for (const row of rows) yield opened(row);
  }

  segment(id: number): StoredSegment {
    return opened(this.sql.first<SegmentRow>("SELECT id, mailbox, tickets, out FROM segments WHERE id = ?", id)!);
  }

  dropTicket(job: string): void {
    this.sql.run("DELETE FROM tickets WHERE job = ?", job);
  }

  budgets(): { pool: string; record: PoolRecord }[] {
    return this.sql
      .all<{ pool: string; record: string }>("SELECT pool, record FROM budgets")
      .map((row) => ({ pool: row.pool, record: JSON.parse(row.record) as PoolRecord }));
  }

  putBudget(pool: string, record: PoolRecord): void {
    this.sql.run("INSERT OR REPLACE INTO budgets (pool, record) VALUES (?, ?)", pool, JSON.stringify(record));
  }

  allowances(): { tenant: string; record: LedgerRecord }[] {
    return this.sql
      .all<{ tenant: string; record: string }>("SELECT tenant, record FROM allowances")
      .map((row) => ({ tenant: row.tenant, record: JSON.parse(row.record) as LedgerRecord }));
  }

  putAllowance(tenant: string, record: LedgerRecord): void {
    this.sql.run("INSERT OR REPLACE INTO allowances (tenant, record) VALUES (?, ?)", tenant, JSON.stringify(record));
  }

  limits(): { pool: string; limits: LearnedRecord }[] {
    return this.sql
      .all<{ pool: string; limits: string }>("SELECT pool, limits FROM limits")
      .map((row) => ({ pool: row.pool, limits: JSON.parse(row.limits) as LearnedRecord }));
  }

  putLimits(pool: string, limits: LearnedRecord): void {
    this.sql.run("INSERT OR REPLACE INTO limits (pool, limits) VALUES (?, ?)", pool, JSON.stringify(limits));
  }

  conditions(): { scope: string; state: string }[] {
    return this.sql.all("SELECT scope, state FROM conditions WHERE scope <> ?", TUNINGS);
  }

  /** What operators have set on top of the configuration. */
  tunings(): Tunings | null {
    const [row] = this.sql.all<{ state: string }>("SELECT state FROM conditions WHERE scope = ?", TUNINGS);
    return row ? (JSON.parse(row.state) as Tunings) : null;
  }

  putTunings(tunings: Tunings): void {
    this.putCondition(TUNINGS, JSON.stringify(tunings));
  }

  putCondition(scope: string, state: string): void {
    this.sql.run("INSERT OR REPLACE INTO conditions (scope, state) VALUES (?, ?)", scope, state);
  }

  doubts(): { pool: string; tenant: string; counts: Doubts }[] {
    return this.sql
      .all<{ pool: string; tenant: string; counts: string }>("SELECT pool, tenant, counts FROM doubts")
      .map((row) => ({ ...row, counts: JSON.parse(row.counts) as Doubts }));
  }

  putDoubts(pool: string, tenant: string, counts: Doubts): void {
    this.sql.run("INSERT OR REPLACE INTO doubts (pool, tenant, counts) VALUES (?, ?, ?)", pool, tenant, JSON.stringify(counts));
  }

  outputs(): { tenant: string; model: string; outputs: Outputs }[] {
    return this.sql
      .all<{ tenant: string; model: string; tokens: string }>("SELECT tenant, model, tokens FROM outputs")
      .map(({ tenant, model, tokens }) => ({ tenant, model, outputs: JSON.parse(tokens) as Outputs }));
  }

  putOutputs(tenant: string, model: string, outputs: Outputs): void {
    this.sql.run("INSERT OR REPLACE INTO outputs (tenant, model, tokens) VALUES (?, ?, ?)", tenant, model, JSON.stringify(outputs));
  }

  dropOutputs(tenant: string, model: string): void {
    this.sql.run("DELETE FROM outputs WHERE tenant = ? AND model = ?", tenant, model);
  }

  addDeadLetter(letter: Omit<DeadLetter, "id">): void {
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

  deadLetterOf(job: string): DeadLetter | null {
    return this.sql.first("SELECT * FROM dead_letters WHERE job = ?", job);
  }

  strikeDeadLetter(job: string): void {
    this.sql.run("DELETE FROM dead_letters WHERE job = ?", job);
  }

  deadLetters(before: number | null, limit: number): DeadLetter[] {
    return this.sql.all("SELECT * FROM dead_letters WHERE id < ? ORDER BY id DESC LIMIT ?", before ?? Number.MAX_SAFE_INTEGER, limit);
  }
}

function opened({ id, mailbox, tickets, out }: SegmentRow): StoredSegment {
  const all = JSON.parse(tickets) as [string, Fixed][];
  const marks = out ? new Uint8Array(out) : new Uint8Array(Math.ceil(all.length / 8));
  const left: StoredSegment["tickets"] = [];
  for (const [index, [job, fixed]] of all.entries()) {
    if (!isMarked(marks, index)) left.push({ row: freshRow(job, mailbox, fixed), index });
  }
  return { id, mailbox, size: all.length, out: marks, tickets: left };
}

/**
 * A ticket to which nothing has happened yet. Every field is written out: when 32 tickets woke together, spreading objects took longer than reading them
 * (a fifth of a wake with 100,000 waiting). Fields that most rows get sooner or later are there from the start: fields added later are stored apart.
 */
export function freshRow(job: string, mailbox: number, fixed: Fixed): TicketRow {
  const { accepted_at, arrival, behind, deadline, doubtful, not_before, open, pool, priority, prompt, tokens } = fixed;
  const row: TicketRow = {
    job,
    mailbox,
    pool,
    priority,
    tokens,
    accepted_at,
    not_before,
    deadline,
    arrival,
    prompt,
    charged: undefined,
    phase: "waiting",
    ready_at: 0,
    attempt: 0,
    waits: 0,
    unknown: 0,
    first_started_at: null,
    dispatcher: null,
    verdict: null,
    doubt: doubtful ? 1 : 0,
  };
  if (behind !== undefined) row.behind = behind;
  if (open) row.open = open;
  if (doubtful) row.doubtful = doubtful;
  return row;
}

export function isMarked(out: Uint8Array, index: number): boolean {
  return (out[index >> 3]! & (0x80 >> (index & 7))) !== 0;
}

function fixedOf({
  pool,
  priority,
  tokens,
  prompt,
  accepted_at,
  not_before,
  behind,
  deadline,
  arrival,
  open,
  doubtful,
  charged,
  failure,
}: TicketRow): Fixed {
  const fixed: Fixed = { pool, priority, tokens, accepted_at, not_before, deadline, arrival };
  if (behind !== undefined) fixed.behind = behind;
  if (prompt !== undefined) fixed.prompt = prompt;
  if (open) fixed.open = open;
  if (doubtful) fixed.doubtful = doubtful;
  if (charged) fixed.charged = charged;
  if (failure) fixed.failure = failure;
  return fixed;
}
