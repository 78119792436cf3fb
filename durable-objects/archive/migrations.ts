import type { Migration } from "../../platform/migrate.ts";

/** Append only. */
export const MIGRATIONS: readonly Migration[] = [
  {
    id: "001_archive",
    sql: `
      -- A file's bytes, in the order in which they came. Written by append, read by batches and downloads.
      CREATE TABLE parts (
        offset INTEGER PRIMARY KEY,
        bytes BLOB NOT NULL
      );

      -- What the file is, once it is whole: JSON of FileObject. Written by seal.
      CREATE TABLE file (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        details TEXT NOT NULL
      );

      -- Of a tenant: its files and batches. Ids begin with the time, so they are in order. Written by enter and strike.
      CREATE TABLE entries (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('file', 'batch')),
        details TEXT NOT NULL
      ) WITHOUT ROWID;
    `,
  },
  {
    id: "002_created",
    sql: `
      -- Of a tenant: by which call a batch was created. Name: its key, or what it asks for. Time in ms. Written by enterBatch.
      CREATE TABLE created (
        name TEXT PRIMARY KEY,
        id TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        at INTEGER NOT NULL
      ) WITHOUT ROWID;
      CREATE INDEX created_at ON created (at);
    `,
  },
];
