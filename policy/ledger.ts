/**
 * What of a budget is written down. Law: what is restored after a crash is never less spent than the truth, nor more by
 * much: an object that sleeps between two calls begins anew with each.
 *
 * Writing every admission would cost a row a job. So the record runs ahead of the truth by a few seconds of rate and is
 * written again only when the truth has caught up, or was given back as much; a crash loses at most twice that of the budget, and gains none.
 */
import { spentAt } from "./bucket.ts";
import type { Budget, Resource } from "./budget.ts";

/** How far the record runs ahead. */
export const AHEAD_MS = 5_000;
/** And of a debt, in units: beyond rounding, for which a record would be written in each turn while it lasts. */
const HAIR = 1e-3;

/** `perMs`: the rate that each limit had; one of old has none. */
export type LedgerRecord = {
  at: number;
  heldUntil: number;
  spent: Partial<Record<Resource, number>>;
  perMs?: Partial<Record<Resource, number>>;
};

/** A record to write now, or null while the last one still covers the truth, and is near it. */
export function nextRecord(budget: Budget, last: LedgerRecord | null, now: number): LedgerRecord | null {
  // Where a clock stepped back, nothing refills until it has caught up with the buckets.
  const at = Math.max(now, ...budget.meters.map((meter) => meter.bucket.at));
  if (last && covers(last, budget, now) && covers(last, budget, at) && !isFar(last, budget, at)) return null;
  const spent: LedgerRecord["spent"] = {};
  const perMs: LedgerRecord["perMs"] = {};
  for (const { bucket, rate, resource, whole } of budget.meters) {
    const level = spentAt(bucket, rate, now);
    // More than the whole is a debt, or what an earlier record ran ahead: nothing starts until it is paid off, and restart after restart would add to it.
    spent[resource] = Math.max(level > whole ? level + HAIR : 0, Math.min(level, whole) + rate.perMs * AHEAD_MS);
    perMs[resource] = rate.perMs;
  }
  return { at, heldUntil: budget.heldUntil, spent, perMs };
}

/** A limit that was lowered since is spent to the last, not many times over: its rate would pay that off for hours. */
export function restore(budget: Budget, record: LedgerRecord): void {
  for (const meter of budget.meters) {
    const { rate, resource, whole } = meter;
    const lowered = rate.perMs < (record.perMs?.[resource] ?? Number.POSITIVE_INFINITY);
    const most = lowered ? whole + rate.perMs * AHEAD_MS : Number.POSITIVE_INFINITY;
    meter.bucket = { spent: Math.min(record.spent[resource] ?? 0, most), at: record.at };
  }
  budget.heldUntil = record.heldUntil;
}

function covers(record: LedgerRecord, budget: Budget, now: number): boolean {
  if (record.heldUntil < budget.heldUntil) return false;
  return budget.meters.every((meter) => {
    if (record.perMs?.[meter.resource] !== meter.rate.perMs) return false;
    const recorded = spentAt({ spent: record.spent[meter.resource] ?? 0, at: record.at }, meter.rate, now);
    return recorded >= spentAt(meter.bucket, meter.rate, now);
  });
}

/** So much was given back since that it would be missing after a restart: what a call reserved and did not use, say. */
function isFar({ at, spent }: LedgerRecord, budget: Budget, now: number): boolean {
  return budget.meters.some(({ bucket, rate, resource }) => {
    const recorded = spentAt({ spent: spent[resource] ?? 0, at }, rate, now);
    return recorded - spentAt(bucket, rate, now) > 2 * rate.perMs * AHEAD_MS + HAIR;
  });
}
