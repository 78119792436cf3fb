/**
 * What of a budget is written down. Law: what is restored after a crash is never less spent than the truth.
 *
 * Writing every admission would cost a row a job. So the record runs ahead of the truth by a few seconds of rate and is
 * written again only when the truth has caught up; a crash loses at most that much budget, and gains none.
 */
import { spentAt } from "./bucket.ts";
import type { Budget, Resource } from "./budget.ts";

/** How far the record runs ahead. */
export const AHEAD_MS = 5_000;

export type LedgerRecord = { at: number; heldUntil: number; spent: Partial<Record<Resource, number>> };

/** A record to write now, or null while the last one still covers the truth. */
export function nextRecord(budget: Budget, last: LedgerRecord | null, now: number): LedgerRecord | null {
  // Where a clock stepped back, nothing refills until it has caught up with the buckets.
  const at = Math.max(now, ...budget.meters.map((meter) => meter.bucket.at));
  if (last && covers(last, budget, at)) return null;
  const record: LedgerRecord = { at, heldUntil: budget.heldUntil, spent: {} };
  for (const meter of budget.meters) {
    // More than the whole is never spent in truth: it is what an earlier record ran ahead.
    record.spent[meter.resource] = Math.min(spentAt(meter.bucket, meter.rate, at), meter.whole) + meter.rate.perMs * AHEAD_MS;
  }
  return record;
}

/** A limit that was lowered since is spent to the last, not many times over: its rate would pay that off for hours. */
export function restore(budget: Budget, record: LedgerRecord): void {
  for (const meter of budget.meters) {
    const most = meter.whole + meter.rate.perMs * AHEAD_MS;
    meter.bucket = { spent: Math.min(record.spent[meter.resource] ?? 0, most), at: record.at };
  }
  budget.heldUntil = record.heldUntil;
}

function covers(record: LedgerRecord, budget: Budget, now: number): boolean {
  if (record.heldUntil < budget.heldUntil) return false;
  return budget.meters.every((meter) => {
    const recorded = spentAt({ spent: record.spent[meter.resource] ?? 0, at: record.at }, meter.rate, now);
    return recorded >= spentAt(meter.bucket, meter.rate, now);
  });
}
