/**
 * What was spent is written, and before a sleep who has had how much (policy/standing.ts). The platform lets an object sleep when nothing has happened for ten seconds:
 * where calls are further apart than that, few a minute or large ones, it begins anew with each.
 */
import { AHEAD_MS, type LedgerRecord, nextRecord } from "../../policy/ledger.ts";
import type { Book, Pool } from "./book.ts";
import type { CoordinatorStore } from "./store/store.ts";

/** Nothing is due for so long: it may sleep until then. */
const MAY_SLEEP_MS = 5_000;

export function writeLedgers(book: Book, store: CoordinatorStore, now: number): void {
  const maySleep = book.nextWake() - now >= MAY_SLEEP_MS;
  for (const pool of book.pools.values()) writePool(pool, store, maySleep, now);
  writeAllowances(book, store, maySleep, now);
}

function writePool(pool: Pool, store: CoordinatorStore, maySleep: boolean, now: number): void {
  const { budget, order, record } = pool;
  // If nobody waits, whatever the record runs ahead refills before it is missed.
  const exactly = maySleep && order.size > 0 && (order.hasMoved || pool.runsAhead);
  const next = nextRecord(budget, record, now, exactly ? 0 : AHEAD_MS);
  if (!next && !exactly) return;
  pool.runsAhead = !exactly;
  pool.record = exactly ? { ...(next ?? record!), standing: order.standing() } : next;
  store.putBudget(pool.id, pool.record!);
}

function writeAllowances(book: Book, store: CoordinatorStore, maySleep: boolean, now: number): void {
  const { spenders, spentAhead } = book;
  for (const tenant of spenders) spentAhead.add(tenant);
  for (const tenant of maySleep ? spentAhead : spenders) {
    const desk = book.tenant(tenant);
    const record: LedgerRecord | null = nextRecord(desk.budget, desk.record, now, maySleep && desk.queued > 0 ? 0 : AHEAD_MS);
    if (!record) continue;
    desk.record = record;
    store.putAllowance(tenant, record);
  }
  // A set is made anew to be cleared: most turns have nothing in it.
  if (spenders.size > 0) spenders.clear();
  if (maySleep && spentAhead.size > 0) spentAhead.clear();
}
