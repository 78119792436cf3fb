/**
 * The events of a job. Law: `seq` begins at 1 and has no gaps, and what a client was sent keeps its number through any crash.
 *
 * Deltas are stored apart, and only while somebody watches: an unwatched job writes two rows in its life. 'queued' is always
 * number 1 and is not stored; the other events are, in the job's row.
 */
import type { EventName } from "../../schemas/event.ts";
import type { JobRow } from "./store/store.ts";

/** `place`: in the channel's order; missing if nobody needed one when it happened. */
export type LogEntry = [seq: number, event: EventName, at: number, data: unknown, place?: number];

/**
 * A row holds 2 MB, and a character takes up to four bytes. A job that is called while upstream is down, to see, gets two entries a minute for as long as that
 * lasts, each with up to 4,000 characters of what upstream said: the row would be full after eight hours, and the job's end could not be written any more.
 * Beyond this many characters, earlier failures lose what was said of them. That leaves room for days of one call a minute.
 */
const LOG_CHARACTERS = 400_000;

/** Everything but the deltas, in order. */
export function entriesOf(row: JobRow): LogEntry[] {
  const rest = row.log === null ? [] : (JSON.parse(row.log) as LogEntry[]);
  return [row.place === undefined ? [1, "queued", row.accepted_at, null] : [1, "queued", row.accepted_at, null, row.place], ...rest];
}

/**
 * Appends to the row (not yet to storage) and returns the new seq. `lastDelta`: the greatest seq among the job's deltas, 0 if it has none; `place`: in
 * the channel's order, undefined if there is none.
 */
export function append(row: JobRow, lastDelta: number, event: EventName, at: number, data: unknown, place: number | undefined): number {
  const entries = entriesOf(row);
  const seq = Math.max(entries[entries.length - 1]![0], lastDelta) + 1;
  const newest: LogEntry = place === undefined ? [seq, event, at, data] : [seq, event, at, data, place];
  row.log = JSON.stringify([...entries.slice(1), newest]);
  if (row.log.length > LOG_CHARACTERS) row.log = JSON.stringify([...entries.slice(1).map(withoutError), newest]);
  return seq;
}

function withoutError(entry: LogEntry): LogEntry {
  const [seq, event, at, data, ...place] = entry;
  return event === "retrying" ? [seq, event, at, { ...(data as object), error: null }, ...place] : entry;
}

/** The seq of the event before the newest, deltas left out; 0 if there is none. */
export function priorSeq(row: JobRow): number {
  return entriesOf(row).at(-2)?.[0] ?? 0;
}

/** Whether the log says that this attempt has begun. */
export function saysRunning(row: JobRow, attempt: number): boolean {
  return entriesOf(row).some(([, event, , data]) => event === "in_progress" && (data as { attempt: number }).attempt === attempt);
}

/** Whether the log says that a later attempt has begun. */
export function saysRunningAfter(row: JobRow, attempt: number): boolean {
  return entriesOf(row).some(([, event, , data]) => event === "in_progress" && (data as { attempt: number }).attempt > attempt);
}

/** The position that was told last, null if none was. */
export function toldPosition(row: JobRow): number | null {
  const last = entriesOf(row).findLast(([, event]) => event === "position");
  return last ? (last[3] as { position: number }).position : null;
}

export function saysRetrying(row: JobRow, attempt: number): boolean {
  return entriesOf(row).some(([, event, , data]) => event === "retrying" && (data as { attempt: number }).attempt === attempt);
}

/** Whether the log says that another attempt follows this one, or a later one. */
export function saysRetryingSince(row: JobRow, attempt: number): boolean {
  return entriesOf(row).some(([, event, , data]) => event === "retrying" && (data as { attempt: number }).attempt >= attempt);
}
