import type { Sql } from "./sql.ts";
import { report } from "./telemetry.ts";

export type Migration = { id: string; sql: string };

/**
 * Brings a database to the newest schema. The list is append-only: what was applied must be its beginning.
 * @throws if a newer or different version wrote the database. Also reported here: callers of the object are not shown why it cannot be created.
 */
export function migrate(sql: Sql, migrations: readonly Migration[]): void {
  sql.run("CREATE TABLE IF NOT EXISTS migrations (id TEXT PRIMARY KEY) WITHOUT ROWID");
  const applied = sql.all<{ id: string }>("SELECT id FROM migrations ORDER BY id").map((row) => row.id);
  applied.forEach((id, index) => {
    if (migrations[index]?.id === id) return;
    const message = `This database has the migration "${id}" where this version of Sluice has "${migrations[index]?.id ?? "none"}".`;
    report({ level: "error", event: "unknown_migration", message });
    throw new Error(message);
  });
  if (applied.length === migrations.length) return;
  sql.transaction(() => {
    for (const migration of migrations.slice(applied.length)) {
      sql.run(migration.sql);
      sql.run("INSERT INTO migrations (id) VALUES (?)", migration.id);
    }
  });
}
