/** RPC of archives (a file's bytes, or a tenant's list of files) and of batches. As in rpc.ts: safe to repeat, plain values. */
import type { BatchObject, FileObject } from "./batch.ts";
import type { MailboxRpc } from "./rpc.ts";

/** A file or batch in a tenant's list. `file` is null for a batch: its own object knows its state. */
export type Entry = { id: string; kind: "file" | "batch"; file: FileObject | null };
/** A batch to create, identified by its Idempotency-Key or, without one, by the request itself (`fingerprint`). */
export type BatchClaim = { id: string; key: string | null; fingerprint: string; retried: boolean };
export type EntriesQuery = { kind: Entry["kind"]; after: string | null; ascending: boolean; limit: number };

/** An archive named `tenant/NAME` holds one file; `tenant/library` holds the tenant's list. */
export interface ArchiveRpc {
  /** Adds bytes at `offset`. Sending the same bytes again changes nothing. */
  append(offset: number, bytes: Uint8Array): Promise<void>;
  /** Marks the file as complete and enters it in the tenant's list. A file not sealed within an hour is deleted. */
  seal(file: FileObject): Promise<void>;
  file(): Promise<FileObject | null>;
  /** Bytes from an offset on, as many as are at hand; null at the end. */
  read(offset: number): Promise<Uint8Array | null>;
  remove(): Promise<void>;
  enter(entry: Entry): Promise<void>;
  /** Lists a batch unless it was created before. Returns the id in force; null if the key stands for another batch. */
  enterBatch(claim: BatchClaim): Promise<string | null>;
  /** The batch that this same claim created before; null if there is none. */
  enteredBatch(claim: BatchClaim): Promise<string | null>;
  strike(id: string): Promise<void>;
  entries(query: EntriesQuery): Promise<Entry[]>;
}

/** What a client asked for, checked by the door. */
export type BatchOrder = {
  id: string;
  /** Input file id, archive name and length; the file may be deleted while it is read. */
  input: string;
  archive: string;
  bytes: number;
  window: string;
  windowMs: number;
  metadata: Record<string, string> | null;
  /** URL that is told of the batch's end. */
  webhook: string | null;
  /** Models that the key may use; null is any. */
  models: readonly string[] | null;
};

/** A batch is a mailbox that fills itself from a file. */
export interface BatchRpc extends MailboxRpc {
  /** Repeating it changes nothing. */
  begin(order: BatchOrder): Promise<BatchObject>;
  batch(): Promise<BatchObject | null>;
  cancelBatch(): Promise<BatchObject | null>;
  /** Lines of the output or error file after line `after`; `next` is where to continue, null at the end. Null if there is no such file. */
  results(kind: "output" | "error", after: number): Promise<{ text: string; next: number | null } | null>;
  resultFile(kind: "output" | "error"): Promise<FileObject | null>;
}
