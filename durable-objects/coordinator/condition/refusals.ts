/** Calls that upstream refused for the rate or told to slow down, and calls it took: what that means for their job and the pool (policy/credit.ts). */
import { backoffMs } from "../../../policy/backoff.ts";
import { isOut, isSpent, KEPT, readyAt, refused, risk, taken, unasked, wasIdle } from "../../../policy/credit.ts";
import { isDespite } from "../../../policy/pace.ts";
import * as silence from "../../../policy/silence.ts";
import type { Outcome } from "../../../schemas/rpc.ts";
import type { Book, Entry } from "../book.ts";
import { wasTaken } from "../limits.ts";
import { NO_REFUSALS } from "../waiting.ts";
import type { Conditions, PoolState, Refusal } from "./conditions.ts";
import { isInVain } from "./kept.ts";

/** Longer silences are written and shown; shorter ones are over before anybody looks. ms. */
export const LONG_SILENCE_MS = 10_000;
/** How often a refused job keeps its place. After that it lets others pass, for at most this long: while no calls are taken, or while some are. ms. */
const PATIENCE = 3;
const ASIDE_MS = { none: 60_000, some: 600_000 };
/** No call taken for this long raises an alarm. ms. */
const ALARM_MS = 120_000;
/** How often it is written that calls are taken, ms. Otherwise each restart would find that none had been for long. */
const PROVEN_MS = ALARM_MS / 2;
/** Upstream's codes for them. */
export const CODES: Record<Refusal, string> = { rate_limit: "rate_limit_exceeded", slow_down: "slow_down" };
/** A job that was often told there is no capacity backs off this many times longer; what upstream itself asks for is not multiplied. */
const LONGER = 10;

/** Outcomes in which nothing was done for the tenant's call. */
export const TURNED_AWAY: ReadonlySet<Outcome["kind"]> = new Set(["rate_limited", "no_capacity", "slow_down", "halted", "region"]);

/** A call is dispatched. */
export function letGo({ conditions }: Book, entry: Entry, state: PoolState, now: number): void {
  entry.credit = state.credit ? "risked" : "none";
  if (isInVain(state, entry.address.tenant)) state.vainAt = now;
  if (state.silence) state.silence = now < state.silence.until ? silence.start(state.silence, now) : null;
  if (!state.credit) return;
  if (state.spent && wasIdle(state.credit, now)) state.spent = { ...state.spent, provenAt: now };
  state.credit = risk(state.credit, now);
  if (isOut(state.credit)) conditions.changedPool(entry.row.pool);
}

/** Upstream took the call: counted once, when its answer begins or when it ends. */
export function took(book: Book, entry: Entry, state: PoolState, now: number): void {
  const { conditions } = book;
  state.provenAt = now;
  // A call that started before a refusal says nothing of how things are since. Unknown after a restart.
  const startedAt = entry.reservation?.at ?? null;
  state.provenBy = Math.max(state.provenBy, startedAt ?? 0);
  conditions.retiredInVain = 0;
  entry.refusals = NO_REFUSALS;
  state.vain.delete(entry.address.tenant);
  if (state.silence && silence.tells(state.silence, startedAt)) state.silence = null;
  wasTaken(book, entry, now);
  if (entry.credit === "counted") return;
  const before = state.credit;
  state.credit = taken(before, entry.credit === "risked", now);
  entry.credit = "counted";
  // Tenants whose calls are not taken were kept out of line while credit was low (gate.ts): they are asked again.
  if (isKept(before, now) && !isKept(state.credit, now)) for (const tenant of state.vain.keys()) book.readmit(tenant);
  if (before && !state.credit) trustAgain(book, entry.row.pool, state, now);
  else if (state.spent) comeBack(book, entry.row.pool, state, isKept(before, now) || isKept(state.credit, now), now);
}

/**
 * Calls are taken again, though some are refused and the pool is still in doubt. Its standstill is over all the same; otherwise the next one would be
 * reported to nobody. `kept`: credit is still low.
 */
function comeBack({ conditions }: Book, pool: string, state: PoolState, kept: boolean, now: number): void {
  const { backSince, provenAt, ...spent } = state.spent!;
  const back = kept ? now : (backSince ?? now);
  if (now - back >= ALARM_MS) {
    endSpent(conditions, pool, state, now);
    return;
  }
  const written = provenAt !== undefined && now - provenAt < PROVEN_MS;
  state.spent = { ...spent, provenAt: written ? provenAt : now, backSince: back };
  if (!written) conditions.changedPool(pool);
}

/** Whether the pool's remaining credit is kept for tenants whose calls are taken. */
function isKept(credit: PoolState["credit"], now: number): boolean {
  return credit !== null && readyAt(credit, now, KEPT) > now;
}

/** The call has ended and was not taken. Returns until when the pool is silent because of it, ms. */
export function turnedAway(book: Book, entry: Entry, state: PoolState, outcome: Outcome, now: number, random: number): number {
  const { tenant } = entry.address;
  const before = entry.refusals;
  if (cameToNothing(outcome)) noteVain(state, tenant, now);
  if (outcome.kind === "slow_down") return toldToSlowDown(book, entry, state, outcome.retryAfterMs, now, random);
  if (outcome.kind !== "rate_limited") {
    if (entry.credit === "risked") state.credit = unasked(state.credit, now);
    if (waitsAlone(outcome)) entry.refusals = { times: before.times + 1, at: now };
    return now;
  }
  entry.refusals = { times: before.times + 1, at: now };
  doubt(book, entry, state, now);
  // A job refused time and again, or again while others were taken, says nothing about those others: it waits by itself.
  const own = isItsOwn(before, state);
  if (own && state.silence) state.silence = silence.unheard(state.silence, now);
  const sure = !own && before.times < PATIENCE && silenced(book, entry, state, askedMs(outcome.retryAfterMs, random), now);
  tell(book, entry.row.pool, state, "rate_limit", sure, now);
  return now;
}

function noteVain({ vain }: PoolState, tenant: string, now: number): void {
  const { since, times } = vain.get(tenant) ?? { since: now, times: 0 };
  vain.delete(tenant);
  vain.set(tenant, { since, times: times + 1 });
}

/** Whether calls dispatched since this job's last refusal were taken. */
function isItsOwn({ at, times }: Entry["refusals"], { provenBy }: PoolState): boolean {
  return times > 0 && provenBy > at;
}

/** Upstream asked the pool for silence. Returns whether it asked for minutes, and a second call, dispatched since, was told so too. */
function silenced({ conditions }: Book, { reservation, row }: Entry, state: PoolState, afterMs: number, now: number): boolean {
  const last = state.silence && now < state.silence.until ? state.silence : null;
  state.silence = silence.told(last, afterMs, now);
  if (afterMs > LONG_SILENCE_MS) conditions.changedPool(row.pool);
  return afterMs > ALARM_MS && last !== null && silence.tells(last, reservation?.at ?? null);
}

function askedMs(retryAfterMs: number | null, random: number): number {
  return Math.min(silence.MOST_MS, retryAfterMs ?? silence.LEAST_MS) * (1 + 0.1 * random);
}

/** One cut answers all calls that were under way. Being told so in spite of it, or to wait for minutes, is a refusal like one for the rate. */
function toldToSlowDown(book: Book, entry: Entry, state: PoolState, afterMs: number | null, now: number, random: number): number {
  const silentUntil = now + askedMs(afterMs, random);
  const long = silentUntil - now > ALARM_MS;
  if (!long && entry.credit !== "risked" && !isDespite(state.cut, entry.reservation?.at ?? null)) return silentUntil;
  entry.refusals = { times: entry.refusals.times + 1, at: now };
  doubt(book, entry, state, now);
  tell(book, entry.row.pool, state, "slow_down", long, now);
  return silentUntil;
}

function doubt({ conditions }: Book, entry: Entry, state: PoolState, now: number): void {
  const before = state.credit;
  state.credit = refused(before, entry.credit === "risked", now);
  if (!before || isOut(state.credit)) conditions.changedPool(entry.row.pool);
}

/**
 * When a job that finds no room comes back, ms; null if it keeps its place, as it does a few times while the pool has credit. It comes back behind what
 * has arrived by then (its row says so from here on), so that others find out whether there is room for them. `before`: its refusals without this one.
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
  if (outcome.kind === "slow_down" && times <= (spent ? 0 : 1)) return null;
  if (outcome.kind !== "rate_limited" && outcome.kind !== "slow_down") return null;
  // What it was told holds for this job, whether or not for the others.
  const ownMs = (outcome.retryAfterMs ?? 0) > silence.LEAST_MS ? askedMs(outcome.retryAfterMs, random) : 0;
  const own = isItsOwn(before, state);
  if (times <= (spent ? 0 : own && ownMs > 0 ? 1 : PATIENCE)) {
    if (ownMs === 0) return null;
    // It loses as much in line as it has to wait: if it is the cause itself, the next call is another's.
    row.behind = Math.max(row.accepted_at, row.not_before ?? 0, row.behind ?? 0) + ownMs;
    return now + ownMs;
  }
  const most = state.provenBy > before.at ? ASIDE_MS.some : ASIDE_MS.none;
  const backAt = now + Math.max(Math.min(silence.MOST_MS, outcome.retryAfterMs ?? 0), Math.min(most, 1_000 * 2 ** Math.min(times, 30)));
  row.behind = backAt;
  if (own) goBehind(entry, backAt, now);
  return backAt;
}

/**
 * A job coming back for the second time with nothing known about its pool goes behind everything that has arrived by then, and behind what arrives for as
 * long as it has been tried in vain: its tenant's other jobs may well be taken, and if there are none it is called at once.
 */
export function goBehind({ refusals, row }: Entry, backAt: number, now: number): void {
  if (refusals.times > 1) row.behind = backAt + Math.min(ASIDE_MS.some, now - row.accepted_at);
}

/** What it was told, or found out, concerns it alone. That upstream cannot be reached concerns all. */
function waitsAlone(outcome: Outcome): boolean {
  return outcome.kind === "no_capacity" || (outcome.kind === "retryable" && outcome.unsent === true && !outcome.upstream);
}

/** Nothing was done and it will be dispatched again, but nothing suggests that it will do better than its tenant's other jobs. */
function cameToNothing(outcome: Outcome): boolean {
  return TURNED_AWAY.has(outcome.kind) || waitsAlone(outcome);
}

function tell({ conditions }: Book, pool: string, state: PoolState, reason: Refusal, silent: boolean, now: number): void {
  if (!silent && !(state.credit && isSpent(state.credit, now))) return;
  const facts = { pool, reason, code: CODES[reason] };
  const since = state.spent?.since ?? now;
  const provenAt = Math.max(since, state.provenAt, state.spent?.provenAt ?? 0);
  const alarmed = silent || state.spent?.alarmed === true || now - provenAt > ALARM_MS;
  if (alarmed && !state.spent?.alarmed) conditions.notices.push({ level: "error", event: "pool_halted", ...facts });
  else if (!state.spent) conditions.notices.push({ level: "warn", event: "pool_refused", ...facts });
  if (state.spent?.alarmed !== alarmed || state.spent.reason !== reason) conditions.changedPool(pool);
  state.spent = { ...state.spent, since, alarmed, reason };
}

function trustAgain({ conditions }: Book, pool: string, state: PoolState, now: number): void {
  conditions.changedPool(pool);
  if (state.spent) endSpent(conditions, pool, state, now);
}

function endSpent(conditions: Conditions, pool: string, state: PoolState, now: number): void {
  const { alarmed, since } = state.spent!;
  const event = alarmed ? "pool_resumed" : "pool_taken";
  conditions.notices.push({ level: "info", event, pool, by: "probe", seconds: Math.round((now - since) / 1_000) });
  state.spent = null;
  conditions.changedPool(pool);
}
