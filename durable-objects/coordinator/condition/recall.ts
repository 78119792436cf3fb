/** A pool runs again: the jobs that stepped back behind its next probe need not wait for that time. */
import type { Book } from "../book.ts";

/** Those that were told themselves to wait are not among them: of these nothing is known to have changed. */
export function recall(book: Book, pool: string, now: number): void {
  for (const entry of book.steppedBack) {
    const { row } = entry;
    if (row.pool !== pool) continue;
    book.steppedBack.delete(entry);
    if (row.phase !== "delayed" || row.ready_at !== entry.backAt) continue;
    row.ready_at = now;
    book.delayed.place(entry);
  }
}
