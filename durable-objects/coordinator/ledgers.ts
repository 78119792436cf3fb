/**
 * What was spent is written, and before a sleep who has had how much (policy/standing.ts). The platform lets an object sleep when nothing has happened for ten seconds:
 * where calls are further apart than that, few a minute or large ones, it begins anew with each.
 */
import { AHEAD_MS, nextRecord } from "../../policy/ledger.ts";
import type { Book, Pool } from "./book.ts";
import type { CoordinatorStore } from "./store/store.ts";

/** When nothing has happened for so long, it may be about to sleep. Until then nothing is written for that: a busy object would write with each turn. */
const QUIET_MS = 5_000;

export function writeLedgers(book: Book, store: CoordinatorStore, now: number): void {
  const isQuiet = book.quietAt <= now || book.isLast;
  let waits = false;
  let isWritten = true;
  for (const pool of book.pools.values()) {
    writePool(pool, store, book.isLast || (isQuiet && pool.order.size > 0 && hasMore(pool)), now);
    if (pool.order.size === 0) continue;
    waits = true;
    isWritten &&= !hasMore(pool);
  }
  writeAllowances(book, store, isQuiet, now);
  // If nobody waits, whatever a record runs ahead refills before it is missed.
  book.quietAt = waits && !(isWritten && book.spentAhead.size === 0) ? now + QUIET_MS : Number.POSITIVE_INFINITY;
}

/** Whether more is known of it than what a wake would find. */
function hasMore({ order, runsAhead }: Pool): boolean {
  return order.hasMoved || runsAhead;
}

/** `exactly`: as it is, and with the order's standing. */
function writePool(pool: Pool, store: CoordinatorStore, exactly: boolean, now: number): void {
  const { budget, order, record } = pool;
  const next = nextRecord(budget, record, now, exactly ? 0 : AHEAD_MS);
  if (!next && !exactly) return;
  pool.runsAhead = !exactly;
  pool.record = exactly ? { ...(next ?? record!), standing: order.standing() } : next;
  store.putBudget(pool.id, pool.record!);
}

function writeAllowances(book: Book, store: CoordinatorStore, isQuiet: boolean, now: number): void {
  const { spenders, spentAhead } = book;
  for (const tenant of spenders) spentAhead.add(tenant);
  for (const tenant of isQuiet ? spentAhead : spenders) {
    const desk = book.tenant(tenant);
    const record = nextRecord(desk.budget, desk.record, now, book.isLast || (isQuiet && desk.queued > 0) ? 0 : AHEAD_MS);
    if (!record) continue;
    desk.record = record;
    store.putAllowance(tenant, record);
  }
  // A set is made anew to be cleared: most turns have nothing in it.
  if (spenders.size > 0) spenders.clear();
  if (isQuiet && spentAhead.size > 0) spentAhead.clear();
}
