/** Durable Object storage on Node's own SQLite: as much of it as `platform/sql.ts` uses. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Sql } from "../../platform/sql.ts";

/**
 * A database that outlives the objects that use it. Statements are compiled once, as on the platform. Either in memory, where a commit takes longer the more
 * there is (all pages are looked through), or in a file with a write-ahead log, like the platform's.
 */
export function openStorage(path = ":memory:"): { open: () => Sql; close: () => void } {
  const database = new DatabaseSync(path);
  if (path !== ":memory:") database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
  const statements = new Map<string, StatementSync>();
  const prepared = (text: string) => {
    const statement = statements.get(text) ?? database.prepare(text);
    statements.set(text, statement);
    return statement;
  };
  const exec = (text: string, ...values: (string | number | null | ArrayBuffer)[]) => {
    if (values.length === 0 && text.split(";").filter((each) => each.trim()).length > 1) {
      database.exec(text);
      return { toArray: () => [], rowsWritten: 0, [Symbol.iterator]: () => [][Symbol.iterator]() };
    }
    const bound = values.map((value) => (value instanceof ArrayBuffer ? new Uint8Array(value) : value));
    const rows = prepared(text).all(...bound);
    return { toArray: () => rows, rowsWritten: 0, [Symbol.iterator]: () => rows[Symbol.iterator]() };
  };
  const transactionSync = <T>(work: () => T): T => {
    prepared("SAVEPOINT turn").run();
    try {
      const result = work();
      prepared("RELEASE turn").run();
      return result;
    } catch (error) {
      database.exec("ROLLBACK TO turn; RELEASE turn");
      throw error;
    }
  };
  return {
    open: () => new Sql({ sql: { exec }, transactionSync } as unknown as DurableObjectStorage),
    close: () => database.close(),
  };
}
