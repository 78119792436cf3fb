/** Ended jobs are kept for the retention time, then deleted with their payloads and results. */
import type { Desk } from "./desk.ts";

/** Jobs deleted in one go: some thousand rows, well within an alarm's time. */
const BATCH = 500;
const NEXT_BATCH_MS = 1_000;

/** Deletes what is due; answers when to come again (ms), null if nothing has ended. */
export function retire(desk: Desk): number | null {
  const now = desk.now();
  const due = desk.store.endedBefore(now - desk.settings.retentionMs, BATCH);
  desk.store.sql.transaction(() => {
    for (const n of due) desk.store.remove(n);
  });
  if (due.length === BATCH) return now + NEXT_BATCH_MS;
  const first = desk.store.firstEnd();
  return first === null ? null : Math.max(first + desk.settings.retentionMs, now + NEXT_BATCH_MS);
}
