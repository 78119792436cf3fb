/**
 * Ids of files and batches. What follows `file-` or `batch_` names the object that holds it, so no lookup is needed. The tag is a checksum of the tenant, as
 * in job ids. A batch's results are files of its own.
 */
import { newNonce, tenantTag } from "./ids.ts";

const PATTERN = /^(file-|batch_)([0-9a-z]{7})([0-9a-z]{21})([ioe]?)$/;

/** `input`: uploaded; the others are written by a batch. */
export type FileKind = "input" | "output" | "error";
const LETTERS: Record<FileKind, string> = { input: "i", output: "o", error: "e" };

/** The archive that lists a tenant's files and batches; no file has this name. */
export const LIBRARY = "library";

/** A new object name: the time, and 62 random bits. */
export function newName(now: number): string {
  return `${now.toString(36).padStart(9, "0")}${newNonce()}${newNonce()}`;
}

export function fileId(tenant: string, name: string, kind: FileKind): string {
  return `file-${tenantTag(tenant)}${name}${LETTERS[kind]}`;
}

export function batchId(tenant: string, name: string): string {
  return `batch_${tenantTag(tenant)}${name}`;
}

/** Null if the text is not the id of a file of this tenant. */
export function parseFileId(tenant: string, id: string): { name: string; kind: FileKind } | null {
  const parts = PATTERN.exec(id);
  if (parts?.[1] !== "file-" || parts[2] !== tenantTag(tenant)) return null;
  const kind = (Object.keys(LETTERS) as FileKind[]).find((each) => LETTERS[each] === parts[4]);
  return kind ? { name: parts[3]!, kind } : null;
}

/** The batch's name, or null. */
export function parseBatchId(tenant: string, id: string): string | null {
  const parts = PATTERN.exec(id);
  return parts?.[1] === "batch_" && parts[2] === tenantTag(tenant) && parts[4] === "" ? parts[3]! : null;
}
