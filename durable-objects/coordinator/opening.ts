/** The coordinator wakes, and its book is rebuilt as it was written. */
import type { Settings } from "../../platform/settings.ts";
import { rescale, restore } from "../../policy/ledger.ts";
import { leaveAtOnce } from "../../policy/placement.ts";
import { rescaled } from "../../policy/standing.ts";
import { Book, type Entry } from "./book.ts";
import type { CoordinatorStore } from "./store/store.ts";

/** Rebuilds the book from storage. Leases get one full term, in which their dispatchers are asked. */
export function openBook(settings: Settings, store: CoordinatorStore, now: number): Book {
  const book = new Book(settings, store);
  book.conditions.restore(store, now);
  book.doubts.restore(store);
  book.estimates.restore(store);
  book.limits.open(book.settings.pools, (pool) => book.pools.get(pool)!.budget, store, now, leaveAtOnce(book.fleet));
  for (const { pool, record } of store.budgets()) {
    const known = book.pools.get(pool);
    if (!known) continue;
    restore(known.budget, record, now);
    known.record = record;
  }
  for (const { tenant, record } of store.allowances()) {
    const desk = book.tenant(tenant);
    restore(desk.budget, record, now);
    desk.record = record;
  }
  book.resting.open(store, now);
  for (const stored of store.segments()) book.insertSegment(stored, false, now);
  for (const row of store.tickets()) {
    book.adopt(row);
    const entry = book.insert(row, now);
    if (row.phase === "ending") book.endings.restore(entry);
    if (row.phase === "leased") resumeLease(book, entry, now);
  }
  book.resting.refillAll(now);
  for (const { budget, order, record } of book.pools.values()) {
    if (!record?.standing) continue;
    order.recall(rescaled(record.standing, rescale(record, budget)), (job) => book.entries.get(job)?.waiting ?? null);
  }
  book.conditions.findProbes((pool, job) => {
    const row = book.entries.get(job)?.row;
    return row?.phase === "leased" && row.pool === pool;
  });
  return book;
}

function resumeLease(book: Book, entry: Entry, now: number): void {
  const pool = book.pools.get(entry.row.pool)!;
  entry.reservation = { tokens: entry.row.tokens };
  pool.budget.inFlight++;
  pool.order.resumed(entry.flow);
  book.hold(entry, now);
  // A retired dispatcher takes no more calls, and nobody counts those it has.
  if (book.fleet.retired.has(entry.row.dispatcher!)) return;
  let post = book.fleet.posts.find((each) => each.name === entry.row.dispatcher);
  if (!post) {
    post = { name: entry.row.dispatcher!, starts: [], held: 0 };
    book.fleet.posts.push(post);
  }
  post.held++;
}
