/** What time alone brings: delays that end, deadlines that pass, leases that nobody renews, verdicts to send again. */
import type { Problem } from "../../schemas/problem.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type { Held, Outcome, Verdict } from "../../schemas/rpc.ts";
import { beyondBounds } from "./aside.ts";
import { type Book, type Entry, LEASE_MS, SILENCE_MS } from "./book.ts";
import { read } from "./limits.ts";
import { conclude, end, tell } from "./settle.ts";

export function sweep(book: Book, now: number, random: () => number): void {
  releaseDelayed(book, now);
  expireOverdue(book, now);
  if (book.leaseCheckAt <= now) checkLeases(book, now, random);
  for (const entry of book.endings.due(now)) tell(book, entry, JSON.parse(entry.row.verdict!) as Verdict);
}

/** Ends accepted jobs that no limit of their pool could ever hold: the operator has lowered the limit since, or removed the job's own pool. */
export function endLost(book: Book, now: number): void {
  for (const entry of book.aside.lost.splice(0)) {
    const problem = beyondBounds(book.pools.get(entry.row.pool)!, entry.row.tokens);
    if (problem && entry.row.phase === "waiting") end(book, entry, "failed", problem, now);
  }
}

function releaseDelayed(book: Book, now: number): void {
  for (let entry = book.delayed.peek(); entry && entry.row.ready_at <= now; entry = book.delayed.peek()) {
    const { row } = entry;
    book.delayed.pop();
    // Not written: after a wake, a delayed ticket whose time has come is released again.
    row.phase = "waiting";
    book.line(entry);
  }
}

/** A job expires at its deadline unless it runs: a call that is paid for is finished. */
function expireOverdue(book: Book, now: number): void {
  book.resting.wakeOverdue(now);
  for (let entry = book.deadlines.peek(); entry && entry.row.deadline! <= now; entry = book.deadlines.peek()) {
    book.deadlines.pop();
    if (entry.row.phase !== "leased") end(book, entry, "expired", pastDeadline(), now);
  }
}

/** Leases that ran out are lost; a silent dispatcher is asked about its own. */
function checkLeases(book: Book, now: number, random: () => number): void {
  // This check is overdue: heartbeats that came meanwhile are still to be read, and dispatchers that sent none are asked first.
  const absent = now - book.leaseCheckAt >= SILENCE_MS;
  book.leaseCheckAt = Number.POSITIVE_INFINITY;
  for (const [dispatcher, held] of book.leased) {
    if (absent) for (const entry of held.values()) entry.expiresAt = Math.max(entry.expiresAt, now + SILENCE_MS);
    for (const entry of held.values()) if (entry.expiresAt <= now) lose(book, entry, now, random());
    if (held.size === 0) continue;
    if (book.heardAt.get(dispatcher)! + SILENCE_MS <= now) {
      book.letters.asks.set(dispatcher, heldBy(book, dispatcher));
      book.heardAt.set(dispatcher, now);
    }
    book.leaseCheckAt = Math.min(book.leaseCheckAt, book.heardAt.get(dispatcher)! + SILENCE_MS);
    for (const { expiresAt } of held.values()) book.leaseCheckAt = Math.min(book.leaseCheckAt, expiresAt);
  }
}

/** The leases that a dispatcher holds, as far as the book knows. */
export function heldBy(book: Book, dispatcher: string): Held[] {
  return [...(book.leased.get(dispatcher)?.values() ?? [])].map(({ row }) => ({ job: row.job, attempt: row.attempt }));
}

/** Of the leases `sent`, this incarnation of a dispatcher holds `held`; what an earlier one held is lost with it. */
export function confirmStart(
  book: Book,
  dispatcher: string,
  boot: string,
  held: Held[],
  sent: Held[],
  now: number,
  random: () => number,
): void {
  reconcile(book, dispatcher, boot, held, sent, now, random);
  loseOtherBoots(book, dispatcher, boot, now, random);
}

/** Most starts are confirmed as sent: nothing follows and nothing is written, so it takes no turn. Returns whether this one was; if not, nothing is noted. */
export function isConfirmed(book: Book, dispatcher: string, boot: string, held: Held[], sent: Held[], now: number): boolean {
  if (held !== sent || book.boots.get(dispatcher) !== boot) return false;
  book.heardAt.set(dispatcher, now);
  for (const { attempt, job } of sent) {
    const entry = book.leaseOf(dispatcher, { job, attempt });
    if (entry) [entry.boot, entry.expiresAt] = [boot, now + LEASE_MS];
  }
  return true;
}

/** What a dispatcher holds, and what its calls' answers told. */
type Beat = { dispatcher: string; boot: string; held: Held[]; readings: PoolReading[] };

/** Renews what is held; returns what the dispatcher must give up. */
export function heartbeat(book: Book, { boot, dispatcher, held, readings }: Beat, now: number, random: () => number): Held[] {
  read(book, readings, now);
  const stop: Held[] = [];
  book.heardAt.set(dispatcher, now);
  for (const each of held) {
    const entry = book.leaseOf(dispatcher, each);
    if (!entry) {
      stop.push(each);
      continue;
    }
    entry.boot = boot;
    entry.expiresAt = now + LEASE_MS;
  }
  loseOtherBoots(book, dispatcher, boot, now, random);
  return stop;
}

/** The dispatcher's own list decides which of the leases on record are still alive, and renews those. */
export function reconcile(
  book: Book,
  dispatcher: string,
  boot: string,
  held: Held[],
  asked: Held[],
  now: number,
  random: () => number,
): void {
  const alive = new Set(held.map((each) => `${each.job} ${each.attempt}`));
  book.heardAt.set(dispatcher, now);
  if (book.boots.get(dispatcher) !== boot) book.boots.delete(dispatcher);
  for (const { job, attempt } of asked) {
    const entry = book.leaseOf(dispatcher, { job, attempt });
    if (!entry) continue;
    if (!alive.has(`${job} ${attempt}`)) lose(book, entry, now, random());
    else [entry.boot, entry.expiresAt] = [boot, now + LEASE_MS];
  }
}

/** Nobody holds this lease any more; whether upstream was called is unknown. */
export function lose(book: Book, entry: Entry, now: number, random: number): void {
  const outcome: Outcome = { kind: "retryable", unknown: true, retryAfterMs: null, problem: lostLease() };
  conclude(book, entry, outcome, null, now, random);
}

/** The call never left: `start` was refused. */
export function unsent(book: Book, dispatcher: string, leases: Held[], now: number, random: () => number): void {
  for (const { job, attempt } of leases) {
    const entry = book.leaseOf(dispatcher, { job, attempt });
    const outcome: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem: lostLease(), unsent: true };
    if (entry) conclude(book, entry, outcome, null, now, random());
  }
}

function loseOtherBoots(book: Book, dispatcher: string, boot: string, now: number, random: () => number): void {
  if (book.boots.get(dispatcher) === boot) return;
  for (const entry of book.leased.get(dispatcher)?.values() ?? []) {
    if (entry.boot !== null && entry.boot !== boot) lose(book, entry, now, random());
  }
  book.boots.set(dispatcher, boot);
}

function pastDeadline(): Problem {
  return {
    status: 504,
    type: "invalid_request_error",
    code: "deadline_exceeded",
    message: "The job did not start before its deadline.",
    param: "deadline",
  };
}

function lostLease(): Problem {
  return {
    status: 502,
    type: "server_error",
    code: "unknown_outcome",
    message: "The dispatcher was lost during the call.",
    param: null,
  };
}
