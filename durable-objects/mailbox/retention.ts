/** Ended jobs are kept for the retention time, then deleted with their payloads and results; their deltas go earlier, because the result says the same. */
import type { Desk } from "./desk.ts";

/** Jobs deleted in one go: some thousand rows, well within an alarm's time. */
const BATCH = 500;
const NEXT_BATCH_MS = 1_000;
/** Jobs that end one after another are not worth an alarm each. */
const SPACING_MS = 600_000;

/** Counted from the job's end: a watcher that lost the connection is back by then. */
const DELTAS_KEPT_MS = 3_600_000;

/** How long the deltas of an ended job are kept, ms. */
export function deltasKeptMs(desk: Desk): number {
  return Math.min(DELTAS_KEPT_MS, desk.retentionMs);
}

/** Deletes what is due, except jobs whose webhook is still to be told; returns when to come again (ms), null if nothing will be due. */
export function retire(desk: Desk): number | null {
  const now = desk.now();
  const instant = now - desk.retentionMs;
  const due: number[] = [];
  let next = Number.POSITIVE_INFINITY;
  for (const { n, accepted_at, ended_at } of desk.store.ages()) {
    if (accepted_at > instant) {
      // Jobs are numbered as they were accepted, and end later: no job beyond this one is due, or will be before this one could be.
      next = Math.min(next, accepted_at);
      break;
    }
    if (ended_at !== null && ended_at <= instant) {
      // While its delivery is open, it is kept; closing the delivery sets the alarm for it.
      if (!desk.store.deliveries.isOpen(n)) due.push(n);
    } else if (ended_at !== null) next = Math.min(next, ended_at);
    if (due.length === BATCH) break;
  }
  desk.store.sql.transaction(() => {
    for (const n of due) {
      desk.store.remove(n);
      desk.followers.forget(n);
    }
  });
  if (due.length === BATCH) return now + NEXT_BATCH_MS;
  const streamed = desk.store.deltas.drop(now - deltasKeptMs(desk));
  const { consumers, deliveries } = desk.store;
  next = Math.min(next, desk.store.dropClaims(instant) ?? next, deliveries.dropGone(instant) ?? next, consumers.drop(instant) ?? next);
  const wakes = [next + desk.retentionMs, streamed === null ? Number.POSITIVE_INFINITY : streamed + deltasKeptMs(desk)];
  const wake = Math.min(...wakes);
  return wake === Number.POSITIVE_INFINITY ? null : Math.max(wake, now + SPACING_MS);
}
