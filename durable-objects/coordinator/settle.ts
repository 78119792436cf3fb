/** An attempt has ended: settles what it took, and decides what becomes of the job. */
import { charge, dominantMs, hold, leftLate, type Reservation, refund, refundTokens, release, wholeTokens } from "../../policy/budget.ts";
import { failureOf } from "../../policy/last-failure.ts";
import { vacate } from "../../policy/placement.ts";
import { afterAttempt, type Next, neverLeft } from "../../policy/retry.ts";
import { unusedMs } from "../../policy/returns.ts";
import { LATE_MS } from "../../policy/sliding.ts";
import { credible } from "../../policy/usage.ts";
import type { JobEnd } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome, SettleBatch, Verdict } from "../../schemas/rpc.ts";
import type { Book, Entry, Pool } from "./book.ts";
import { learn } from "./condition/learn.ts";
import { goBehind, TURNED_AWAY } from "./condition/refusals.ts";
import { answered, read, untold } from "./limits.ts";
import type { TicketRow } from "./store/store.ts";

/** Weight of a new measurement of a call's length. */
const SMOOTHING = 0.05;

/** `random` in [0, 1): jitter. Settlements of older attempts are ignored: the lease has passed on. */
export function settle(book: Book, batch: SettleBatch, now: number, random: () => number): void {
  // Refusals before readings: whether a call was taken is part of what its answer tells. Readings before settlements, which end the leases of their calls.
  let refused: Set<string> | undefined;
  for (const settlement of batch.settlements)
    if (wasRefused(book, batch.dispatcher, settlement, now)) refused = (refused ?? new Set()).add(settlement.job);
  if (batch.readings) read(book, batch.readings, now, refused);
  for (const settlement of batch.settlements) {
    const entry = book.leaseOf(batch.dispatcher, settlement);
    if (!entry) continue;
    const { headersMs } = settlement;
    const outcome = believed(book, entry, settlement.outcome);
    if (outcome.kind === "committed") untold(book, entry);
    const { reservation, row } = entry;
    const leftAt = leftAtOf(entry, settlement, now);
    conclude(book, entry, outcome, headersMs, now, random());
    if (leftAt !== null && !neverLeft(outcome)) leftLate(book.pools.get(row.pool)!.budget, reservation!, leftAt, now);
  }
}

function believed(book: Book, { row }: Entry, outcome: Outcome): Outcome {
  if (outcome.kind !== "committed" || !outcome.usage) return outcome;
  return { ...outcome, usage: credible(outcome.usage, row.tokens, wholeTokens(book.pools.get(row.pool)!.budget)) };
}

/**
 * When its call left, ms, if that was later than it was dispatched; null if not, or hardly. After a restart the dispatch time is on record for a first attempt
 * only; any other is taken to have left as late as its answer allows.
 */
function leftAtOf({ lateMs, left, reservation, row }: Entry, { headersMs, waitedMs = 0 }: Settlement, now: number): number | null {
  // A call that asked again was reserved anew at that moment: the wait before it does not count.
  if (reservation?.at !== undefined) return waitedMs > 0 ? reservation.at + waitedMs - (left === row.attempt ? lateMs : 0) : null;
  if (waitedMs <= LATE_MS) return null;
  return row.attempt === 1 && row.first_started_at !== null ? row.first_started_at + waitedMs : now - (headersMs ?? 0);
}

type Settlement = SettleBatch["settlements"][number];

/** Notes that upstream turned the call away; returns whether that was for the rate, and for the first time. */
function wasRefused(book: Book, dispatcher: string, settlement: Settlement, now: number): boolean {
  const { outcome } = settlement;
  const entry = TURNED_AWAY.has(outcome.kind) ? book.leaseOf(dispatcher, settlement) : undefined;
  if (!entry) return false;
  const learned = book.limits.of(entry.row.pool);
  if (outcome.kind === "rate_limited") learned?.refused(entry.row.tokens, now);
  else learned?.turnedAway(entry.row.tokens);
  return outcome.kind === "rate_limited" && entry.row.waits === 0;
}

/** Ends the present lease of an entry with this outcome. */
export function conclude(book: Book, entry: Entry, said: Outcome, headersMs: number | null, now: number, random: number): void {
  const { row } = entry;
  const { ended } = book.pools.get(row.pool)!;
  ended.set(said.kind, (ended.get(said.kind) ?? 0) + 1);
  vacate(book.fleet, row.dispatcher!, headersMs);
  const { backAt, outcome, probe, silentUntil, stood } = learn(book, entry, row.dispatcher!, said, now, random);
  book.leased.get(row.dispatcher!)?.delete(row.job);
  row.dispatcher = null;
  returnBudget(book, entry, outcome, now);
  // A call that was not carried out repeats nothing: the doubt stays for the next attempt.
  if (!TURNED_AWAY.has(outcome.kind) && !neverLeft(outcome)) {
    book.doubts.count(entry.address.tenant, row, outcome);
    row.doubt = 0;
  }
  if (outcome.kind === "void" && outcome.failed) bury(book, entry, outcome.failed, row.attempt - row.waits - 1, now);
  const { attempt, first_started_at, unknown, waits } = row;
  const record = { attempt, waits, unknown, alike: entry.tooLong, firstStartedAt: first_started_at ?? now, probe, backAt, silentUntil };
  const next = afterAttempt(outcome, record, now, random);
  const counted = next.kind === "retry" && !next.uncounted;
  entry.late = outcome.kind === "late" ? entry.late + 1 : 0;
  if (outcome.kind !== "late" && (next.kind === "retry" || next.kind === "wait"))
    row.failure = failureOf(outcome, { attempt, counted, before: row.failure, now });
  if (outcome.kind === "retryable" && outcome.repeats !== undefined && !("uncounted" in next)) entry.tooLong++;
  book.readmit(entry.address.tenant);
  const began = TURNED_AWAY.has(outcome.kind) || neverLeft(outcome) || attempt > 1 ? null : first_started_at;
  apply(book, entry, next, began, now);
  if (stood && row.phase === "delayed") book.stepBack(entry);
  else book.steppedBack.delete(entry);
}

function returnBudget(book: Book, entry: Entry, outcome: Outcome, now: number): void {
  const { row, address } = entry;
  const pool = book.pools.get(row.pool)!;
  const tenant = book.spending(address.tenant);
  const reservation = entry.reservation!;
  entry.reservation = null;
  const turn = { charged: row.charged, reserved: reservation.tokens };
  row.charged = undefined;
  if (neverLeft(outcome)) {
    // A late call has had it given back already (late.ts).
    if (outcome.kind !== "late") giveBack(book, entry, reservation, now);
    // A call that could not reach upstream uses up its turn as well.
    settleTurn(pool, entry.flow, turn, outcome.kind === "retryable" ? reservation.tokens : null);
    return;
  }
  release(pool.budget);
  if (TURNED_AWAY.has(outcome.kind)) {
    // Upstream counts what it refuses. The tenant got nothing but its turn: were that given back, it would be next every time.
    refund(tenant, reservation, now);
    // Upstream cannot count more than it ever lets through: a call sent to see whether a lowered limit is back leaves no debt.
    const never = reservation.tokens - wholeTokens(pool.budget);
    if (never > 0) refundTokens(pool.budget, never, reservation.at, now);
    settleTurn(pool, entry.flow, turn, reservation.tokens);
    return;
  }
  release(tenant);
  if (outcome.kind === "committed") {
    answered(book, pool, reservation.at);
    pool.callMs += (now - entry.leasedAt - pool.callMs) * SMOOTHING;
  }
  if (outcome.kind !== "committed" || !outcome.usage) {
    settleTurn(pool, entry.flow, turn, reservation.tokens);
    pool.order.used(entry.flow, reservation.tokens);
    return;
  }
  // The tenant pays for what was used, not for what was reserved. The upstream bucket keeps the reservation, and is charged what exceeded it.
  const { total_tokens: used } = outcome.usage;
  const beyond = Math.max(0, used - reservation.tokens);
  if (beyond > 0) chargeBeyond(book, pool, address.tenant, beyond, now);
  else refundTokens(tenant, reservation.tokens - used, reservation.at, now);
  settleTurn(pool, entry.flow, turn, used);
  pool.order.used(entry.flow, reservation.tokens, used);
  book.estimates.note(row.pool, address.tenant, row.open ?? null, reservation.tokens, outcome.usage);
}

/** Gives back the budget of a call that was never made: nobody has counted it. */
export function giveBack(book: Book, { address, row }: Entry, reservation: Reservation, now: number): void {
  const pool = book.pools.get(row.pool)!;
  refund(pool.budget, reservation, now, book.limits.of(pool.id)?.unmade(reservation));
  refund(book.spending(address.tenant), reservation, now);
}

type Turn = { charged: TicketRow["charged"]; reserved: number };

/** A flow's turn costs what its call took, in tokens (null: nothing at all), at the rate that it was charged by: limits change meanwhile. */
function settleTurn({ budget, order }: Pool, flow: string, { charged, reserved }: Turn, taken: number | null): void {
  const costOf = (tokens: number) => dominantMs(budget, tokens);
  const [tokens, chargedMs, keeps, competed = false] = charged ?? [reserved, costOf(reserved), true];
  const nowMs = costOf(tokens);
  const back = unusedMs(nowMs, taken === null ? 0 : costOf(taken), costOf(reserved));
  // Within the reservation calls are off by chance, either way: that comes back, or is paid, with the next starts.
  const owes = competed && (taken ?? 0) > reserved;
  order.credit(flow, nowMs > 0 ? ((keeps ? Math.min(0, back) : back) * chargedMs) / nowMs : 0, owes);
}

function chargeBeyond(book: Book, pool: Pool, tenant: string, tokens: number, now: number): void {
  charge(book.spending(tenant), tokens, now);
  charge(pool.budget, tokens, now);
  book.limits.of(pool.id)?.charged(pool.budget, tokens, now);
}

/** `began`: when a first attempt began; null for any other. */
function apply(book: Book, entry: Entry, next: Next, began: number | null, now: number): void {
  const { row } = entry;
  if ("anew" in next) row.first_started_at = null;
  switch (next.kind) {
    case "end":
      book.remove(entry, now);
      return;
    case "wait":
      hold(book.pools.get(row.pool)!.budget, next.holdUntil);
      row.waits++;
      if (next.backAt === undefined) {
        row.phase = "waiting";
        book.line(entry);
        break;
      }
      row.phase = "delayed";
      row.ready_at = next.backAt;
      entry.backAt = next.backAt;
      book.delayed.place(entry);
      break;
    case "retry":
      if (next.unknown) row.unknown++;
      if (next.unknown) row.doubt = 1;
      if (next.uncounted) row.waits++;
      if (next.uncounted) goBehind(entry, next.at, now);
      row.phase = "delayed";
      row.ready_at = next.at;
      book.delayed.place(entry);
      tell(book, entry, {
        ...facts(entry),
        kind: "retrying",
        retryAt: next.at,
        failedAt: now,
        problem: next.problem,
        startedAt: began,
      });
      break;
    case "fail":
      end(book, entry, "failed", next.problem, now, began);
      return;
  }
  // A deadline that passed during the attempt was ignored; from now on it counts again.
  if (row.deadline !== null) book.deadlines.place(entry);
  book.dirty.add(entry);
}

/** The job ends without a result. The ticket stays until its mailbox has confirmed. */
export function end(book: Book, entry: Entry, kind: JobEnd, problem: Problem, now: number, began: number | null = null): void {
  const { row, address } = entry;
  book.unline(entry, now);
  book.delayed.remove(entry);
  book.deadlines.remove(entry);
  book.tenant(address.tenant).queued--;
  const verdict: Verdict = { ...facts(entry), kind, problem, startedAt: began };
  row.phase = "ending";
  row.verdict = JSON.stringify(verdict);
  book.endings.sent(entry, now);
  book.dirty.add(entry);
  tell(book, entry, verdict);
  if (kind === "failed") bury(book, entry, problem, verdict.attempts, now);
}

/** The mailbox gave the job up after this attempt: it is not dispatched again. */
export function leave(book: Book, entry: Entry, attempt: number, problem: Problem, now: number): void {
  const { row } = entry;
  if (row.attempt !== attempt || (row.phase !== "delayed" && row.phase !== "waiting")) return;
  bury(book, entry, problem, row.attempt - row.waits, now);
  book.remove(entry, now);
}

function bury(book: Book, { address, row }: Entry, { code, message }: Problem, attempts: number, now: number): void {
  book.deadLetters.push({ job: row.job, tenant: address.tenant, pool: row.pool, attempts, code, message, failed_at: now });
}

export function tell(book: Book, entry: Entry, verdict: Verdict): void {
  const verdicts = book.letters.verdicts.get(entry.row.mailbox) ?? [];
  verdicts.push(verdict);
  book.letters.verdicts.set(entry.row.mailbox, verdicts);
}

function facts({ row }: Entry): { job: string; attempt: number; attempts: number; unknown: number } {
  return { job: row.job, attempt: row.attempt, attempts: row.attempt - row.waits, unknown: row.unknown };
}
