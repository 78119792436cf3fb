import type { Migration } from "../../../platform/migrate.ts";

/** Append only. */
export const MIGRATIONS: readonly Migration[] = [
  {
    id: "001_tickets",
    sql: `
      -- Return addresses, a row for each mailbox ever heard of. Written by enqueue, read when a ticket names one and by the list of channels.
      CREATE TABLE mailboxes (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        channel TEXT NOT NULL,
        UNIQUE (tenant, channel)
      );

      -- What waits, runs or has a verdict to deliver. Written once a turn from the book, read at wake alone. Times in ms.
      CREATE TABLE tickets (
        job TEXT PRIMARY KEY,
        mailbox INTEGER NOT NULL,
        -- What was enqueued and never changes: JSON of Fixed.
        fixed TEXT NOT NULL,
        phase TEXT NOT NULL DEFAULT 'waiting' CHECK (phase IN ('waiting', 'delayed', 'leased', 'ending')),
        ready_at REAL NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0,
        waits INTEGER NOT NULL DEFAULT 0 CHECK (waits <= attempt),
        unknown INTEGER NOT NULL DEFAULT 0 CHECK (unknown <= attempt),
        first_started_at REAL,
        dispatcher TEXT,
        verdict TEXT,
        CHECK ((phase = 'leased') = (dispatcher IS NOT NULL)),
        CHECK (phase <> 'ending' OR verdict IS NOT NULL)
      ) WITHOUT ROWID;

      -- Tickets that came in one message and wait: one row for all of them, JSON of [job, Fixed] each. A ticket that changes gets a row
      -- of its own, and its bit in out (most significant first) is set; the segment goes with its last ticket. Written and read as tickets are.
      CREATE TABLE segments (
        id INTEGER PRIMARY KEY,
        mailbox INTEGER NOT NULL,
        tickets TEXT NOT NULL,
        out BLOB
      );

      -- What of each budget is spent, ahead of the truth (policy/ledger.ts). Written by admit, read at wake.
      CREATE TABLE budgets (
        pool TEXT PRIMARY KEY,
        record TEXT NOT NULL
      ) WITHOUT ROWID;

      -- Jobs given up after retries. Written by settle and sweep, read by operators.
      CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY,
        job TEXT NOT NULL,
        tenant TEXT NOT NULL,
        pool TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        code TEXT,
        message TEXT NOT NULL,
        failed_at INTEGER NOT NULL
      );
    `,
  },
  {
    id: "002_conditions",
    sql: `
      -- How pools stand ('pool NAME'), what operators paused ('levers'), and dispatchers that are called no more ('retired'): JSON, as
      -- condition/conditions.ts has it. Written by turns that changed it, read at wake.
      CREATE TABLE conditions (
        scope TEXT PRIMARY KEY,
        state TEXT NOT NULL
      ) WITHOUT ROWID;

      -- What may have been paid for twice, JSON of Doubts. Written by settle and sweep, read at wake.
      CREATE TABLE doubts (
        pool TEXT NOT NULL,
        tenant TEXT NOT NULL,
        counts TEXT NOT NULL,
        PRIMARY KEY (pool, tenant)
      ) WITHOUT ROWID;

      -- Whether the outcome of a ticket's last call is unknown.
      ALTER TABLE tickets ADD COLUMN doubt INTEGER NOT NULL DEFAULT 0;
    `,
  },
  {
    id: "003_learned",
    sql: `
      -- Limits of a minute that upstream's headers told, JSON. Written when they change, read at wake.
      CREATE TABLE limits (
        pool TEXT PRIMARY KEY,
        limits TEXT NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "004_outputs",
    sql: `
      -- Tokens of the last answers that nothing bounded, JSON. Written with every tenth of them, read at wake.
      CREATE TABLE outputs (
        tenant TEXT NOT NULL,
        model TEXT NOT NULL,
        tokens TEXT NOT NULL,
        PRIMARY KEY (tenant, model)
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "005_resting",
    sql: `
      -- Segments that need not be in memory, and what must be known of them meanwhile: JSON of Summary. Written as they go to rest, deleted with the first
      -- ticket that leaves them, read at wake.
      CREATE TABLE resting (
        segment INTEGER PRIMARY KEY,
        mailbox INTEGER NOT NULL,
        summary TEXT NOT NULL
      );
    `,
  },
  {
    id: "006_allowances",
    sql: `
      -- What of a tenant's own limits is spent, as budgets has it of a pool's: a row for each tenant that has some. Written by admit and settle, read at wake.
      CREATE TABLE allowances (
        tenant TEXT PRIMARY KEY,
        record TEXT NOT NULL
      ) WITHOUT ROWID;
    `,
  },
];
