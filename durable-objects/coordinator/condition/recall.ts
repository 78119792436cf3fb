/** A pool runs again: the jobs that stepped back behind its next probe need not wait for that time. */
import type { Book, Entry } from "../book.ts";

/** Not written: after a crash they come back when they would have. A pool stands still rarely, so all that is delayed is looked through. */
export function recall(book: Book, pool: string, now: number): void {
  const kept: Entry[] = [];
  for (let entry = book.delayed.pop(); entry; entry = book.delayed.pop()) {
    const { row } = entry;
    if (row.pool === pool && row.phase === "delayed" && row.ready_at === entry.backAt) row.ready_at = now;
    kept.push(entry);
  }
  for (const entry of kept) book.delayed.push(entry);
}
