import type { Migration } from "../../../platform/migrate.ts";

/** Append only. */
export const MIGRATIONS: readonly Migration[] = [
  {
    id: "001_tickets",
    sql: `
      -- Return addresses, a row for each mailbox ever heard of. Written by enqueue, read at wake and by the list of channels.
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
        pool TEXT NOT NULL,
        priority REAL NOT NULL,
        tokens INTEGER NOT NULL CHECK (tokens > 0),
        accepted_at INTEGER NOT NULL,
        not_before INTEGER,
        deadline INTEGER,
        phase TEXT NOT NULL CHECK (phase IN ('waiting', 'delayed', 'leased', 'ending')),
        ready_at REAL NOT NULL,
        attempt INTEGER NOT NULL,
        waits INTEGER NOT NULL CHECK (waits <= attempt),
        unknown INTEGER NOT NULL CHECK (unknown <= attempt),
        first_started_at REAL,
        dispatcher TEXT,
        verdict TEXT,
        CHECK ((phase = 'leased') = (dispatcher IS NOT NULL)),
        CHECK (phase <> 'ending' OR verdict IS NOT NULL)
      ) WITHOUT ROWID;

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
];
