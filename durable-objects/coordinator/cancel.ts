/** The job has ended in its mailbox: drops its ticket, or aborts its call if one is under way. */
import type { Book } from "./book.ts";

export function cancel(book: Book, jobs: string[], now: number): void {
  for (const job of jobs) {
    const entry = book.find(job, now);
    if (!entry || entry.row.phase === "ending") continue;
    if (entry.row.phase !== "leased") {
      book.remove(entry, now);
      continue;
    }
    const dispatcher = entry.row.dispatcher!;
    const aborts = book.letters.aborts.get(dispatcher) ?? [];
    aborts.push(job);
    book.letters.aborts.set(dispatcher, aborts);
  }
}
