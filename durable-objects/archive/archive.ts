import { DurableObject } from "cloudflare:workers";
import { LIBRARY } from "../../platform/file-ids.ts";
import { migrate } from "../../platform/migrate.ts";
import { callArchive, type Env } from "../../platform/objects.ts";
import { Sql } from "../../platform/sql.ts";
import type { FileObject } from "../../schemas/batch.ts";
import type { ArchiveRpc, BatchClaim, EntriesQuery, Entry } from "../../schemas/rpc-batch.ts";
import { MIGRATIONS } from "./migrations.ts";

/** Bytes per row, which can hold 2 MB. */
const PART_BYTES = 1_000_000;
/** An upload not sealed within this time was broken off. */
const UNSEALED_MS = 3_600_000;
/** A complete file is entered in the tenant's list within this time, even if sealing it broke off. */
const ENTERED_MS = 60_000;
/** How long a batch's Idempotency-Key stands for it. */
const KEY_MS = 7 * 86_400_000;
/** A retry without a key comes within this time: SDKs give up after some minutes. */
const RETRY_MS = 900_000;

/** A file's bytes, or a tenant's list of files and batches. */
export class Archive extends DurableObject<Env> implements ArchiveRpc {
  readonly #sql: Sql;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = new Sql(ctx.storage);
    migrate(this.#sql, MIGRATIONS);
  }

  /** @throws if the bytes do not come next. */
  async append(offset: number, bytes: Uint8Array): Promise<void> {
    const known = this.#size();
    // Sent again because its answer was lost.
    if (offset + bytes.length <= known) return;
    if (offset !== known) throw new Error(`Bytes must continue at offset ${known}, but these begin at ${offset}.`);
    if (known === 0) await this.ctx.storage.setAlarm(this.now() + UNSEALED_MS);
    for (let from = 0; from < bytes.length; from += PART_BYTES) {
      const part = bytes.slice(from, from + PART_BYTES);
      this.#sql.run("INSERT INTO parts (offset, bytes) VALUES (?, ?)", offset + from, part.buffer);
    }
  }

  async seal(file: FileObject): Promise<void> {
    if (this.#size() !== file.bytes) throw new Error("Bytes are missing: the upload took too long.");
    this.#sql.run("INSERT OR REPLACE INTO file (id, details) VALUES (1, ?)", JSON.stringify(file));
    await this.ctx.storage.setAlarm(this.now() + ENTERED_MS);
    await this.#list(file);
    await this.ctx.storage.deleteAlarm();
  }

  async file(): Promise<FileObject | null> {
    const row = this.#sql.first<{ details: string }>("SELECT details FROM file");
    return row && (JSON.parse(row.details) as FileObject);
  }

  async read(offset: number): Promise<Uint8Array | null> {
    const row = this.#sql.first<{ offset: number; bytes: ArrayBuffer }>(
      "SELECT offset, bytes FROM parts WHERE offset <= ? ORDER BY offset DESC LIMIT 1",
      offset,
    );
    const bytes = row && new Uint8Array(row.bytes).subarray(offset - row.offset);
    return bytes && bytes.length > 0 ? bytes : null;
  }

  async remove(): Promise<void> {
    for (const table of ["parts", "file"]) this.#sql.run(`DELETE FROM ${table}`);
    await this.ctx.storage.deleteAlarm();
  }

  async enter(entry: Entry): Promise<void> {
    this.#sql.run("INSERT OR REPLACE INTO entries (id, kind, details) VALUES (?, ?, ?)", entry.id, entry.kind, JSON.stringify(entry.file));
  }

  async enterBatch(claim: BatchClaim): Promise<string | null> {
    const now = this.now();
    const { fingerprint, id } = claim;
    const known = this.#claimed(claim);
    if (known) return known.fingerprint === fingerprint ? known.id : null;
    const name = nameOf(claim);
    this.#sql.transaction(() => {
      this.#sql.run("DELETE FROM created WHERE at <= ?", now - KEY_MS);
      this.#sql.run("INSERT OR REPLACE INTO created (name, id, fingerprint, at) VALUES (?, ?, ?, ?)", name, id, fingerprint, now);
      this.#sql.run("INSERT OR REPLACE INTO entries (id, kind, details) VALUES (?, 'batch', 'null')", id);
    });
    return id;
  }

  async enteredBatch(claim: BatchClaim): Promise<string | null> {
    const known = this.#claimed(claim);
    return known?.fingerprint === claim.fingerprint ? known.id : null;
  }

  async strike(id: string): Promise<void> {
    this.#sql.run("DELETE FROM entries WHERE id = ?", id);
  }

  async entries({ after, ascending, kind, limit }: EntriesQuery): Promise<Entry[]> {
    const [beyond, order] = ascending ? [">", "ASC"] : ["<", "DESC"];
    const rows = this.#sql.all<{ id: string; details: string }>(
      `SELECT id, details FROM entries WHERE kind = ?1 AND (?2 IS NULL OR id ${beyond} ?2) ORDER BY id ${order} LIMIT ?3`,
      kind,
      after,
      limit,
    );
    return rows.map(({ id, details }) => ({ id, kind, file: JSON.parse(details) as FileObject | null }));
  }

  override async alarm(): Promise<void> {
    const file = await this.file();
    if (file) await this.#list(file);
    else await this.remove();
  }

  /** The batch that was created by an earlier claim, if this may be the same claim. */
  #claimed(claim: BatchClaim): { id: string; fingerprint: string } | null {
    if (claim.key === null && !claim.retried) return null;
    const since = this.now() - (claim.key === null ? RETRY_MS : KEY_MS);
    return this.#sql.first("SELECT id, fingerprint FROM created WHERE name = ? AND at > ?", nameOf(claim), since);
  }

  /** ms since the epoch. */
  protected now(): number {
    return Date.now();
  }

  async #list(file: FileObject): Promise<void> {
    const tenant = this.ctx.id.name!.slice(0, this.ctx.id.name!.lastIndexOf("/"));
    await callArchive(this.env, tenant, LIBRARY, (stub) => stub.enter({ id: file.id, kind: "file", file }));
  }

  #size(): number {
    const last = this.#sql.first<{ size: number }>("SELECT offset + length(bytes) AS size FROM parts ORDER BY offset DESC LIMIT 1");
    return last?.size ?? 0;
  }
}

function nameOf({ fingerprint, key }: BatchClaim): string {
  return key === null ? `body ${fingerprint}` : `key ${key}`;
}
