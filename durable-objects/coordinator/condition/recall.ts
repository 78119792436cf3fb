/** A pool runs again: the jobs that stepped back behind its next probe need not wait for that time. */
import type { Book } from "../book.ts";

/** Not written: after a crash they come back when they would have. A pool stands still rarely, so all that is delayed is looked through. */
export function recall(book: Book, pool: string, now: number): void {
  for (const entry of [...book.delayed]) {
    const { row } = entry;
    if (row.pool !== pool || row.ready_at !== entry.backAt) continue;
    row.ready_at = now;
    book.delayed.place(entry);
  }
}
