/**
 * One turn of the coordinator: a step changes the book, then whatever may start starts, and all of it is written in
 * one commit. Law: what others are told is held back until that commit is durable (the platform's output gate), except leases
 * that their mailbox opens only once it has heard of that commit.
 */
import { cameLate } from "../../policy/budget.ts";
import { admit } from "./admit.ts";
import type { Book, Entry } from "./book.ts";
import { writeLedgers } from "./ledgers.ts";
import { lineOf, reckon } from "./reckon.ts";
import type { CoordinatorStore } from "./store/store.ts";
import { endLost, sweep } from "./sweep.ts";

/** Runs a step on the book and starts whatever may start; returns the step's result. Nothing is written yet. */
export function decide<T>(book: Book, now: number, random: () => number, step: (now: number) => T): T {
  const result = step(now);
  sweep(book, now, random);
  admit(book, now);
  endLost(book, now);
  expect(book, now);
  book.watching.look(book, now);
  return result;
}

/** Jobs that came in and could not start: their waits begin. */
function expect(book: Book, now: number): void {
  for (const entry of book.fresh) {
    const { waiting } = entry;
    const pool = book.pools.get(entry.row.pool)!;
    if (entry.row.phase !== "delayed") pool.order.came(entry.flow, now);
    if (!waiting) continue;
    const own = pool.order.lanes.get(entry.flow)?.size ?? 0;
    pool.expectations.expect(entry, lineOf(pool, waiting), own, () => reckon(book, entry, waiting, now).rawMs, now);
    if (own <= book.fresh.size && own < pool.order.size) cameLate(pool.budget, entry.row.tokens, now);
  }
}

/** Writes what was decided, all or nothing. @throws if the commit fails; the book is then void. */
export function record(book: Book, store: CoordinatorStore, now: number): void {
  store.sql.transaction(() => write(book, store, now));
}

function write(book: Book, store: CoordinatorStore, now: number): void {
  book.addresses.write(store);
  book.resting.rest(store);
  writeTickets(book, store);
  for (const letter of book.deadLetters) store.addDeadLetter(letter);
  writeLedgers(book, store, now);
  book.conditions.write(store, now, book.isLast);
  book.tunings.write(store);
  book.limits.write(store);
  book.doubts.write(store);
  book.estimates.write(store);
  book.deadLetters.length = 0;
}

function writeTickets(book: Book, store: CoordinatorStore): void {
  const waiting: Entry[] = [];
  for (const entry of book.dirty) {
    if (book.fresh.has(entry) && entry.row.phase === "waiting") {
      waiting.push(entry);
    } else {
      book.segments.leave(entry);
      store.putTicket(entry.row);
    }
  }
  for (const entry of book.gone) if (!book.segments.leave(entry)) store.dropTicket(entry.row.job);
  book.segments.write(store, waiting);
  book.segments.flush(store);
  // `clear` allocates a set anew: most turns have nothing in most of them.
  for (const noted of [book.dirty, book.fresh, book.gone]) if (noted.size > 0) noted.clear();
}
