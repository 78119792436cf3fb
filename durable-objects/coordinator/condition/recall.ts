/** A pool runs again: jobs that stepped back behind its next probe need not wait any longer. */
import type { Book, Entry } from "../book.ts";

/** Jobs that were themselves told to wait stay: nothing is known to have changed for them. */
export function recall(book: Book, pool: string, now: number): void {
  for (const entry of book.steppedBack) {
    if (entry.row.pool !== pool) continue;
    book.steppedBack.delete(entry);
    bringBack(book, entry, now);
  }
}

/** The operator knows better: jobs that were told to wait are called too. A job that failed still waits for its next attempt. */
export function recallAll(book: Book, pool: string, now: number): void {
  recall(book, pool, now);
  for (const entry of [...book.delayed]) if (entry.row.pool === pool) bringBack(book, entry, now);
}

function bringBack(book: Book, entry: Entry, now: number): void {
  const { row } = entry;
  if (row.phase !== "delayed" || row.ready_at !== entry.backAt) return;
  row.ready_at = now;
  book.delayed.place(entry);
}
