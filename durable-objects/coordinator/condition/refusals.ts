/** Calls that upstream refused for the rate or told to slow down, and those that it took: what that means for their job and for the pool (policy/credit.ts). */
import { backoffMs } from "../../../policy/backoff.ts";
import { isOut, isSpent, refused, risk, taken, unasked } from "../../../policy/credit.ts";
import { isDespite } from "../../../policy/pace.ts";
import type { Outcome } from "../../../schemas/rpc.ts";
import type { Book, Entry } from "../book.ts";
import type { PoolState, Refusal } from "./conditions.ts";

/** A 429 without `Retry-After`: the pool is silent for this long. */
export const SILENCE_MS = 2_000;
/** And for this long at the most, whatever upstream asks for: what it says of the rest of a day would keep a pool that it has let go of since. As rarely a halted one is asked. */
const MOST_SILENCE_MS = 600_000;
/** So often a job may be refused and keep its place. Then it lets others go by: for so long at the most while none is taken, or some are. ms. */
const PATIENCE = 3;
const ASIDE_MS = { none: 60_000, some: 600_000 };
/** Nothing was taken for so long: that is worth an alarm. */
const ALARM_MS = 120_000;
/** Upstream's words for it. */
export const CODES: Record<Refusal, string> = { rate_limit: "rate_limit_exceeded", slow_down: "slow_down" };
/** By so much more a job without capacity backs off that was often told so; what upstream asks for is not made longer. */
const LONGER = 10;

/** Nothing was done for the tenant's call. */
export const TURNED_AWAY: ReadonlySet<Outcome["kind"]> = new Set(["rate_limited", "no_capacity", "slow_down", "halted", "region"]);

/** A call is let go. */
export function letGo({ conditions }: Book, entry: Entry, state: PoolState, now: number): void {
  entry.credit = state.credit ? "risked" : "none";
  if (!state.credit) return;
  state.credit = risk(state.credit, now);
  if (isOut(state.credit)) conditions.changedPool(entry.row.pool);
}

/** Upstream took the call: counted once, by the beginning of its answer or by its end. */
export function took(book: Book, entry: Entry, state: PoolState, now: number): void {
  const { conditions } = book;
  state.provenAt = now;
  // What began before a refusal says nothing of how things are since. Unknown after a restart.
  state.provenBy = Math.max(state.provenBy, entry.reservation?.at ?? 0);
  conditions.retiredInVain = 0;
  entry.refusals = { times: 0, at: Number.NEGATIVE_INFINITY };
  state.vain.delete(entry.address.tenant);
  if (entry.credit === "counted") return;
  const before = state.credit;
  state.credit = taken(before, entry.credit === "risked", now);
  entry.credit = "counted";
  if (before && !state.credit) trustAgain(book, entry.row.pool, state, now);
}

/** The call has ended, and was not taken. Answers until when the pool is silent for it, ms. */
export function turnedAway(book: Book, entry: Entry, state: PoolState, outcome: Outcome, now: number, random: number): number {
  const { tenant } = entry.address;
  if (cameToNothing(outcome)) state.vain.set(tenant, (state.vain.get(tenant) ?? 0) + 1);
  if (outcome.kind === "slow_down") return toldToSlowDown(book, entry, state, outcome.retryAfterMs, now, random);
  if (outcome.kind !== "rate_limited") {
    if (entry.credit === "risked") state.credit = unasked(state.credit, now);
    if (waitsAlone(outcome)) entry.refusals = { times: entry.refusals.times + 1, at: now };
    return now;
  }
  entry.refusals = { times: entry.refusals.times + 1, at: now };
  doubt(book, entry, state, now);
  // One that is refused time and again says nothing of the others: it waits by itself.
  const silentUntil = entry.refusals.times > PATIENCE ? now : silence(outcome.retryAfterMs, now, random);
  tell(book, entry.row.pool, state, "rate_limit", silentUntil, now);
  return silentUntil;
}

/** The cut is what all that was under way asks for. To be told so in spite of it is a refusal like one for the rate. */
function toldToSlowDown(book: Book, entry: Entry, state: PoolState, afterMs: number | null, now: number, random: number): number {
  const silentUntil = silence(afterMs, now, random);
  if (entry.credit !== "risked" && !isDespite(state.cut, entry.reservation?.at ?? null)) return silentUntil;
  doubt(book, entry, state, now);
  tell(book, entry.row.pool, state, "slow_down", silentUntil, now);
  return silentUntil;
}

function silence(afterMs: number | null, now: number, random: number): number {
  return now + Math.min(MOST_SILENCE_MS, afterMs ?? SILENCE_MS) * (1 + 0.1 * random);
}

function doubt({ conditions }: Book, entry: Entry, state: PoolState, now: number): void {
  const before = state.credit;
  state.credit = refused(before, entry.credit === "risked", now);
  if (!before || isOut(state.credit)) conditions.changedPool(entry.row.pool);
}

/**
 * When a job comes back that finds no room, ms; null if it keeps its place, as it does a few times while the pool has credit. It comes back behind what has
 * come by then (its row says so from here on): others find out whether there is room for them. `before`: its refusals, without this one.
 */
export function stepBack(
  entry: Entry,
  before: Entry["refusals"],
  state: PoolState,
  outcome: Outcome,
  now: number,
  random: number,
): number | null {
  const { times } = entry.refusals;
  const { row } = entry;
  if (outcome.kind === "no_capacity") {
    const backAt = now + (outcome.retryAfterMs ?? 0) + backoffMs(times, random, null) * (times > PATIENCE ? LONGER : 1);
    goBehind(entry, backAt, now);
    return backAt;
  }
  const spent = state.credit !== null && isSpent(state.credit, now);
  if (outcome.kind !== "rate_limited" || times <= (spent ? 0 : PATIENCE)) return null;
  const most = state.provenBy > before.at ? ASIDE_MS.some : ASIDE_MS.none;
  row.behind = now + Math.max(Math.min(MOST_SILENCE_MS, outcome.retryAfterMs ?? 0), Math.min(most, 1_000 * 2 ** Math.min(times, 30)));
  return row.behind;
}

/**
 * A job that comes back for the second time without a word of its pool goes behind what has come by then, and what comes for as long as it has been tried in vain: its tenant's
 * others may well be taken, and where there are none it is called at once.
 */
export function goBehind({ refusals, row }: Entry, backAt: number, now: number): void {
  if (refusals.times > 1) row.behind = backAt + Math.min(ASIDE_MS.some, now - row.accepted_at);
}

/** It was told, or found out, something of itself alone. */
function waitsAlone(outcome: Outcome): boolean {
  return outcome.kind === "no_capacity" || (outcome.kind === "retryable" && outcome.unsent === true);
}

/** Nothing was done, and it will be let go again: nothing says that it will do better then than its tenant's others. */
export function cameToNothing(outcome: Outcome): boolean {
  return TURNED_AWAY.has(outcome.kind) || waitsAlone(outcome);
}

function tell({ conditions }: Book, pool: string, state: PoolState, reason: Refusal, silentUntil: number, now: number): void {
  const silent = silentUntil - now > ALARM_MS;
  if (!silent && !(state.credit && isSpent(state.credit, now))) return;
  const facts = { pool, reason, code: CODES[reason] };
  const since = state.spent?.since ?? now;
  const alarmed = silent || state.spent?.alarmed === true || now - Math.max(since, state.provenAt) > ALARM_MS;
  if (alarmed && !state.spent?.alarmed) conditions.notices.push({ level: "error", event: "pool_halted", ...facts });
  else if (!state.spent) conditions.notices.push({ level: "warn", event: "pool_refused", ...facts });
  if (state.spent?.alarmed !== alarmed || state.spent.reason !== reason) conditions.changedPool(pool);
  state.spent = { since, alarmed, reason };
}

function trustAgain({ conditions }: Book, pool: string, state: PoolState, now: number): void {
  conditions.changedPool(pool);
  if (!state.spent) return;
  const seconds = Math.round((now - state.spent.since) / 1_000);
  conditions.notices.push({ level: "info", event: state.spent.alarmed ? "pool_resumed" : "pool_taken", pool, by: "probe", seconds });
  state.spent = null;
}
