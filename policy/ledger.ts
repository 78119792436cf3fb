/**
 * What is stored of a budget. Law: what is restored after a crash is never less spent than the truth, and not much more:
 * an object that sleeps between two calls is restored for each of them.
 *
 * Storing every admission would cost a row per job. So the record runs ahead of the truth by a few seconds of rate, and is
 * written again only when the truth has caught up or as much was given back. A crash costs at most twice that much budget, and gains none.
 */
import { spentAt } from "./bucket.ts";
import type { Budget, Meter, Resource } from "./budget.ts";
import { type Former, leftOf, missingOf, runAhead } from "./former.ts";
import { type Past, Sliding } from "./sliding.ts";
import { Refilling } from "./tally.ts";

/** How far the record runs ahead, in ms of rate; for a window, also for how long. */
export const AHEAD_MS = 5_000;
/** How far it runs ahead of a debt, in units: just beyond rounding, or a record would be written in each turn while the debt lasts. */
const HAIR = 1e-3;

/**
 * `perMs`: the rate that each limit had. `whole`: what it could hold. `past`: for a window, what was taken of it when. `former`: what was spent of limits that were since lowered or taken
 * away: it is still spent if they come back before it has refilled. Records of older versions lack `perMs`, `whole` and `past`.
 */
export type LedgerRecord = {
  at: number;
  heldUntil: number;
  spent: Partial<Record<Resource, number>>;
  perMs?: Partial<Record<Resource, number>>;
  whole?: Partial<Record<Resource, number>>;
  past?: Partial<Record<Resource, Past>>;
  former?: Partial<Record<Resource, Former[]>>;
};

/**
 * A record to write now, or null while the last one still covers the truth and is close to it. `aheadMs`: how far it runs ahead; 0 before a sleep, because each
 * sleep would cost that much.
 */
export function nextRecord(budget: Budget, last: LedgerRecord | null, now: number, aheadMs = AHEAD_MS): LedgerRecord | null {
  // If the clock stepped back, nothing refills until it has caught up with the buckets.
  let at = now;
  for (const { tally } of budget.meters) at = Math.max(at, tally.at);
  if (last && covers(last, budget, now) && (at === now || covers(last, budget, at)) && !isFar(last, budget, at, aheadMs)) return null;
  const spent: LedgerRecord["spent"] = {};
  const perMs: LedgerRecord["perMs"] = {};
  const wholes: LedgerRecord["whole"] = {};
  const past: LedgerRecord["past"] = {};
  for (const { rate, resource, tally, whole } of budget.meters) {
    const level = tally.spent(now);
    // More than the whole is a debt, or what an earlier record ran ahead. Nothing starts until it is paid off, so running ahead would add to it with each
    // restart.
    spent[resource] = Math.max(level > whole ? level + HAIR : 0, Math.min(level, whole) + Math.max(rate.perMs * aheadMs, HAIR / 2));
    perMs[resource] = rate.perMs;
    wholes[resource] = whole;
    if (tally instanceof Sliding) past[resource] = tally.write(rate.perMs * aheadMs, at + aheadMs, now);
  }
  const left = Object.entries(budget.former ?? {}).map(([resource, each]) => {
    const ahead = (perMs[resource as Resource] ?? 0) * aheadMs;
    return [resource, each.filter((one) => leftOf(one, at) > 0).map((one) => runAhead(one, ahead))] as const;
  });
  const former = Object.fromEntries(left.filter(([, each]) => each.length > 0));
  return { at, heldUntil: budget.heldUntil, spent, perMs, whole: wholes, ...filled({ past, former }) };
}

/** `now`: what may have been taken of a window by then counts as taken then. */
export function restore(budget: Budget, record: LedgerRecord, now: number): void {
  for (const meter of budget.meters) restoreMeter(meter, record, now);
  budget.heldUntil = record.heldUntil;
  for (const resource of new Set([...Object.keys(record.spent), ...Object.keys(record.former ?? {})]))
    carry(budget, record, resource as Resource, now);
}

/**
 * The factor, at most 1, that converts what is owed from ms of the recorded rate to ms of the present one. If a limit was raised, a ms of its rate is more, and
 * a flow that had a turn too many would otherwise wait that much longer.
 */
export function rescale({ perMs = {} }: LedgerRecord, { meters }: Budget): number {
  return meters.reduce((least, { rate, resource }) => Math.min(least, (perMs[resource] ?? rate.perMs) / rate.perMs), 1);
}

/**
 * For a limit that differs from the record's: what was spent of greater limits is spent of this one, as far as it goes, and of each of them if it comes back.
 */
function carry(budget: Budget, record: LedgerRecord, resource: Resource, now: number): void {
  const meter = budget.meters.find((each) => each.resource === resource);
  if (meter?.tally instanceof Sliding) return;
  const { perMs, whole } = meter ? { perMs: meter.rate.perMs, whole: meter.whole } : { perMs: 0, whole: 0 };
  const last = {
    spent: record.spent[resource] ?? 0,
    at: record.at,
    perMs: record.perMs ? (record.perMs[resource] ?? 0) : perMs,
    whole: record.whole ? (record.whole[resource] ?? 0) : whole,
  };
  const isGreater = (each: Former) => each.perMs > perMs || (each.whole ?? 0) > whole;
  const former = [...(record.former?.[resource] ?? []), ...(isGreater(last) ? [last] : [])].filter((each) => leftOf(each, now) > 0);
  const greater = former.filter(isGreater);
  if (greater.length > 0) budget.former = { ...budget.former, [resource]: greater };
  if (!meter || (last.perMs === perMs && last.whole === whole)) return;
  const spent = meter.tally.spent(now);
  const back = missingOf(
    former.filter((each) => !isGreater(each)),
    spent,
    now,
  );
  const held = Math.min(spent + missingOf(greater, spent, now), whole + perMs * AHEAD_MS);
  const missing = Math.max(back, held - spent);
  if (missing > 0) meter.tally.owe(missing, now);
}

/** The fields that are not empty. */
function filled<T extends Record<string, object>>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, each]) => Object.keys(each).length > 0)) as Partial<T>;
}

function restoreMeter({ leaving, rate, resource, tally, whole }: Meter, record: LedgerRecord, now: number): void {
  leaving?.forget();
  const spent = record.spent[resource];
  const perMs = record.perMs?.[resource];
  const past = record.past?.[resource];
  if (tally instanceof Refilling) {
    // A limit that was lowered since counts as used up, not as spent many times over: its rate would take hours to pay that off. So does one that holds less
    // since, except for what was owed.
    const lowered = rate.perMs < (perMs ?? Number.POSITIVE_INFINITY);
    const owed = lowered ? 0 : Math.max(0, (spent ?? 0) - (record.whole?.[resource] ?? 0));
    const most = whole + rate.perMs * AHEAD_MS + owed;
    tally.bucket = { spent: Math.min(spent ?? 0, most), at: record.at };
  }
  if (!(tally instanceof Sliding)) return;
  if (past) tally.restore(past, now);
  // The record is a bucket's: by it, nothing was taken once what had been spent had refilled.
  else if (spent !== undefined) {
    const kept = perMs ?? rate.perMs;
    tally.restoreSteady(kept, spent, Math.min(now, record.at + spent / kept));
  }
}

function covers(record: LedgerRecord, budget: Budget, now: number): boolean {
  if (record.heldUntil < budget.heldUntil) return false;
  for (const { rate, resource, tally } of budget.meters) {
    if (record.perMs?.[resource] !== rate.perMs) return false;
    if (tally instanceof Sliding) {
      const past = record.past?.[resource];
      if (past === undefined || !tally.isWritten(past, now)) return false;
    } else if (spentAt({ spent: record.spent[resource] ?? 0, at: record.at }, rate, now) < tally.spent(now)) return false;
  }
  return true;
}

/** Whether so much was given back since the record (what calls reserved and did not use, say) that it would be missing after a restart. */
function isFar({ at, past, spent }: LedgerRecord, budget: Budget, now: number, aheadMs: number): boolean {
  return budget.meters.some(({ rate, resource, tally }) => {
    const window = past?.[resource];
    const recorded = window ? writtenAt(window, now) : spentAt({ spent: spent[resource] ?? 0, at }, rate, now);
    return recorded - tally.spent(now) > 2 * rate.perMs * aheadMs + HAIR;
  });
}

/** What a window's record would restore as spent. */
function writtenAt({ ahead, spanMs, taken, until = Number.POSITIVE_INFINITY }: Past, now: number): number {
  return [...taken, [until, ahead] as const].reduce((sum, [at, amount]) => sum + (at + spanMs > now ? amount : 0), 0);
}
