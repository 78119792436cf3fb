/** The result files of a batch. They are not stored: they are made of its jobs, in OpenAI's format, when somebody reads them. */
import type { Problem } from "../../../schemas/problem.ts";
import type { Desk } from "../desk.ts";
import type { JobRow } from "../store/store.ts";
import { idOf } from "../view.ts";
import type { BatchStore, EndedRow } from "./store.ts";

export type ResultKind = "output" | "error";
/** `next`: where to go on, null at the end. */
export type Page = { text: string; next: number | null };

const ROWS = 500;
/** Characters of a page, plus one line: messages between objects hold 32 MiB. */
const PAGE_CHARACTERS = 2_000_000;

/**
 * `after` 0 is the beginning. Jobs come first, in the order in which they came: `after` is a job's number. Lines that did not become jobs
 * follow: then `after` is the negative of the line's number, minus one.
 */
export function page(desk: Desk, store: BatchStore, kind: ResultKind, after: number): Page {
  if (after < 0) return refusedPage(store, -after - 1);
  const rows = store.ended(kind === "output", after, ROWS);
  let text = "";
  for (const row of rows) {
    text += lineOf(desk, row);
    if (text.length >= PAGE_CHARACTERS) return { text, next: row.n };
  }
  if (rows.length === ROWS) return { text, next: rows.at(-1)!.n };
  return { text, next: kind === "error" ? -1 : null };
}

function refusedPage(store: BatchStore, after: number): Page {
  const rows = store.refused(after, ROWS);
  const text = rows.map(({ custom_id, line, problem }) => failure(`line_${line}`, custom_id, JSON.parse(problem) as Problem)).join("");
  return { text, next: rows.length === ROWS ? -rows.at(-1)!.line - 1 : null };
}

function lineOf(desk: Desk, row: EndedRow): string {
  const id = idOf(desk.address, row);
  if (row.status === "failed") return failure(id, row.custom_id, JSON.parse(row.error!) as Problem);
  if (row.status !== "completed") return failure(id, row.custom_id, unexecuted(row.status));
  return success(id, row.custom_id, desk.store.text(row.n as JobRow["n"], "response") ?? NO_ANSWER);
}

const NO_ANSWER = "null";

/** `body`: the answer as JSON text. */
function success(id: string, customId: string, body: string): string {
  const head = JSON.stringify({ id: requestId(id), custom_id: customId }).slice(0, -1);
  return `${head},"response":{"status_code":200,"request_id":${JSON.stringify(id)},"body":${body}},"error":null}\n`;
}

/** As at OpenAI, a request that failed has a response; one that its batch's end left undone has an error. */
function failure(id: string, customId: string, { status, ...error }: Problem): string {
  const own = ["batch_expired", "batch_cancelled"].includes(error.code ?? "");
  const response = own ? null : { status_code: status, request_id: id, body: { error } };
  const reason = own ? { code: error.code, message: error.message } : null;
  return `${JSON.stringify({ id: requestId(id), custom_id: customId, response, error: reason })}\n`;
}

/** The problem of a request that its batch's end left undone. */
export function unexecuted(end: "expired" | "cancelled"): Problem {
  const message =
    end === "expired"
      ? "This request could not be executed before the completion window expired."
      : "This request was cancelled, by itself or with its batch.";
  return { status: 408, type: "invalid_request_error", code: `batch_${end}`, message, param: null };
}

function requestId(id: string): string {
  return `batch_req_${id}`;
}

/**
 * Bytes of both files, as they will be read. Answers are not read for this: those of 50,000 lines may be more than a gigabyte, and work that takes 30 seconds
 * of CPU time resets the object, at every wake again.
 */
export function resultBytes(desk: Desk, store: BatchStore): Record<ResultKind, number> {
  const encoder = new TextEncoder();
  const bytesOf = (text: string) => encoder.encode(text).length;
  let error = 0;
  for (let after: number | null = 0; after !== null; ) {
    const { next, text } = page(desk, store, "error", after);
    error += bytesOf(text);
    after = next;
  }
  let output = 0;
  for (let rows = store.ended(true, 0, ROWS); rows.length > 0; rows = store.ended(true, rows.at(-1)!.n, ROWS))
    for (const row of rows) output += bytesOf(success(idOf(desk.address, row), row.custom_id, "")) + (row.bytes ?? NO_ANSWER.length);
  return { output, error };
}
