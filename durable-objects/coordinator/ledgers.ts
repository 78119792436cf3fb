/**
 * Writes what was spent and, before a sleep, how much each flow has had (policy/standing.ts). The platform lets an object sleep after ten seconds without an
 * event: where calls are further apart than that, because they are few or large, the object starts anew with each.
 */
import { AHEAD_MS, nextRecord } from "../../policy/ledger.ts";
import type { Book, Pool } from "./book.ts";
import type { CoordinatorStore } from "./store/store.ts";

/** After this long without an event the object may soon sleep. Until then nothing is written for that: a busy object would write in every turn. */
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

/** Whether more is known of the pool than a wake would find. */
function hasMore({ order, runsAhead }: Pool): boolean {
  return order.hasMoved || runsAhead;
}

/** `exactly`: not ahead of the truth, and with the order's standing. */
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
  // `clear` allocates the set anew: most turns have nothing in it.
  if (spenders.size > 0) spenders.clear();
  if (isQuiet && spentAhead.size > 0) spentAhead.clear();
}
