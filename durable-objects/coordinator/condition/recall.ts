/** A pool runs again: the jobs that stepped back behind its next probe need not wait for that time. */
import type { Book, Entry } from "../book.ts";

/** Those that were told themselves to wait are not among them: of these nothing is known to have changed. */
export function recall(book: Book, pool: string, now: number): void {
  for (const entry of book.steppedBack) {
    if (entry.row.pool !== pool) continue;
    book.steppedBack.delete(entry);
    bringBack(book, entry, now);
  }
}

/** An operator knows better: those that were told to wait are called as well. What failed waits for its next attempt. */
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
