/** What is said to archives, which hold files and a tenant's list of them, and to batches. As in rpc.ts: safe to repeat, plain values. */
import type { BatchObject, FileObject } from "./batch.ts";
import type { MailboxRpc } from "./rpc.ts";

/** A file or a batch in a tenant's list; `file` is null for a batch, whose state its own object knows. */
export type Entry = { id: string; kind: "file" | "batch"; file: FileObject | null };
/** A batch that is to be created: by an Idempotency-Key, or by nothing but what it asks for (`fingerprint`). */
export type BatchClaim = { id: string; key: string | null; fingerprint: string; retried: boolean };
export type EntriesQuery = { kind: Entry["kind"]; after: string | null; ascending: boolean; limit: number };

/** An archive is named `tenant/NAME` and holds one file, or `tenant/library` and holds the tenant's list. */
export interface ArchiveRpc {
  /** Adds bytes that begin at `offset`; the same again is left as it is. */
  append(offset: number, bytes: Uint8Array): Promise<void>;
  /** The file is whole, and the tenant's list names it. One that is not sealed within the hour is forgotten. */
  seal(file: FileObject): Promise<void>;
  file(): Promise<FileObject | null>;
  /** Bytes from an offset on, as many as are at hand; null at the end. */
  read(offset: number): Promise<Uint8Array | null>;
  remove(): Promise<void>;
  enter(entry: Entry): Promise<void>;
  /** Lists a batch, unless it was created before. Answers the id of the one that stands; null if the key stands for another. */
  enterBatch(claim: BatchClaim): Promise<string | null>;
  /** The batch that this very claim was made for before; null if there is none. */
  enteredBatch(claim: BatchClaim): Promise<string | null>;
  strike(id: string): Promise<void>;
  entries(query: EntriesQuery): Promise<Entry[]>;
}

/** What a client asked for, checked by the door. */
export type BatchOrder = {
  id: string;
  /** The input file's id, its archive's name, and its length: it may be deleted while it is read. */
  input: string;
  archive: string;
  bytes: number;
  window: string;
  windowMs: number;
  metadata: Record<string, string> | null;
  /** URL that its end is told to. */
  webhook: string | null;
  /** Models that the key may use; null is any. */
  models: readonly string[] | null;
};

/** A batch is a mailbox that fills itself from a file. */
export interface BatchRpc extends MailboxRpc {
  /** The same again is left as it is. */
  begin(order: BatchOrder): Promise<BatchObject>;
  batch(): Promise<BatchObject | null>;
  cancelBatch(): Promise<BatchObject | null>;
  /** Lines of the output or error file, from after a line on; `next` is where to go on, null at the end. Null: there is no such file. */
  results(kind: "output" | "error", after: number): Promise<{ text: string; next: number | null } | null>;
  resultFile(kind: "output" | "error"): Promise<FileObject | null>;
}
