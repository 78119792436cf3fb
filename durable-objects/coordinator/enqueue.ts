/** Takes in tickets from a mailbox. Repeating is harmless: a known ticket stays as it is. */
import { isBatchChannel } from "../../platform/mailboxes.ts";
import { tooManyTokens } from "../../policy/admission.ts";
import { neverFits, wholeTokens } from "../../policy/budget.ts";
import { reserveOpen } from "../../policy/outputs.ts";
import { shareOf } from "../../policy/share.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Enqueued, MailboxAddress, Share, Ticket } from "../../schemas/rpc.ts";
import { beyondBounds } from "./aside.ts";
import type { Book } from "./book.ts";
import { placeAtEntry, placeOf } from "./inspect.ts";
import { freshRow, type TicketRow } from "./store/store.ts";

/** Answers in order; null where the ticket was taken in. */
export function enqueue(book: Book, address: MailboxAddress, tickets: Ticket[], now: number): (Problem | null)[] {
  let mailbox: number | null = null;
  return tickets.map((ticket) => {
    if (book.find(ticket.job, now)) return null;
    const problem = refusal(book, address, ticket);
    if (problem) return problem;
    // Only now, so that a mailbox is written down only if one of its tickets is taken in.
    mailbox ??= book.addresses.numberOf(address);
    const entry = book.insert(bornOf(book, address, ticket, mailbox, now), now);
    book.fresh.add(entry);
    const late = tooLate(book, ticket, now);
    if (late) {
      book.remove(entry, now);
      return late;
    }
    // Only now: a refused job must leave nothing behind, least of all a deadline far off.
    if (ticket.deadline !== null) {
      entry.row.deadline = ticket.deadline;
      book.deadlines.place(entry);
    }
    book.dirty.add(entry);
    return null;
  });
}

/** What the mailbox is told, in order, after the turn that took the tickets in; `problems` as `enqueue` returned them. */
export function answers(book: Book, address: MailboxAddress, tickets: Ticket[], problems: (Problem | null)[], now: number): Enqueued[] {
  return problems.map((problem, index) => answer(book, address, tickets[index]!, problem, now));
}

/** Its place counts as told. */
function answer(
  book: Book,
  { tenant }: MailboxAddress,
  { call, job, pool, watched }: Ticket,
  problem: Problem | null,
  now: number,
): Enqueued {
  if (problem) return { ok: false, problem };
  const place = placeAtEntry(book, job, now);
  if (watched) book.watching.add(book, job, null, place.held ? null : place.position);
  if (call) place.share = share(book, tenant, pool, now)!;
  return { ok: true, place };
}

/** What a pool leaves to a tenant; null if there is no such pool. */
export function share(book: Book, tenant: string, pool: string, now: number): Share | null {
  const found = book.pools.get(pool);
  return found ? shareOf(found.budget, book.tenant(tenant).budget, now) : null;
}

function bornOf(book: Book, address: MailboxAddress, ticket: Ticket, mailbox: number, now: number): TicketRow {
  const { acceptedAt: accepted_at, doubtful, job, notBefore: not_before, open, pool, priority, prompt } = ticket;
  const tokens = open ? reserved(book, address, ticket, open) : ticket.tokens;
  const arrival = book.nextArrival;
  const row = freshRow(job, mailbox, { pool, priority, tokens, accepted_at, not_before, deadline: null, arrival, prompt, open, doubtful });
  if (not_before !== null && not_before > now) Object.assign(row, { phase: "delayed", ready_at: not_before });
  return row;
}

/** What a request without a bound reserves: learned from its tenant's last answers of this model, if enough are known. */
function reserved(book: Book, { tenant }: MailboxAddress, { pool, tokens }: Ticket, open: NonNullable<Ticket["open"]>): number {
  const expected = book.estimates.expected(tenant, open.model);
  if (expected === null) return tokens;
  const whole = Math.min(wholeTokens(book.pools.get(pool)!.budget), wholeTokens(book.tenant(tenant).budget));
  return reserveOpen(tokens, open, expected, whole);
}

function refusal(book: Book, address: MailboxAddress, ticket: Ticket): Problem | null {
  const pool = book.pools.get(ticket.pool);
  if (!pool) return problem(400, "unknown_pool", `No pool "${ticket.pool}" is configured.`, "request.model");
  if (ticket.offered && book.conditions.drains.keepOut(ticket.pool, address.tenant)) {
    const message = "New jobs are not accepted at present: an operator is draining the queue.";
    return { ...problem(503, "draining", message, null), type: "server_error" };
  }
  // A job too large only for the limit of now waits until that is raised.
  const beyond = beyondBounds(pool, ticket.tokens);
  if (beyond) return beyond;
  const tenant = book.tenant(address.tenant);
  // A job too large only for what an operator has set since goes at a full bucket.
  if (neverFits(tenant.budget, ticket.tokens) && neverFits(book.configuredBudget(address.tenant), ticket.tokens)) {
    return tooManyTokens(`This request reserves ${ticket.tokens} tokens, more than this tenant's own limit allows.`);
  }
  // Only jobs whose client was not answered yet: accepted ones were counted then, or would have been.
  const room = isBatchChannel(address.channel) ? roomOfBatches(tenant.maxQueued) : tenant.maxQueued;
  if (ticket.offered && room !== null && tenant.queued >= room) {
    const message = `This tenant has ${tenant.queued} jobs queued, and may have ${room}. Try again when some have ended.`;
    return { ...problem(429, "queue_full", message, null), type: "rate_limit_error" };
  }
  return null;
}

/** The other half is left to jobs that somebody waits for: a batch is never in a hurry, and would take every place that comes free. */
function roomOfBatches(maxQueued: number | null): number | null {
  return maxQueued === null ? null : Math.max(1, Math.floor(maxQueued / 2));
}

/** Refuses a strict job that, as estimated from its place or its `not_before`, cannot start before its deadline. */
function tooLate(book: Book, { deadline, deadlinePolicy, job }: Ticket, now: number): Problem | null {
  if (deadline === null || deadlinePolicy !== "strict") return null;
  const wait = placeOf(book, job, now)?.eta?.p50 ?? 0;
  const earliest = now + wait * 1_000;
  // A wait whose end nobody can tell may end in time.
  if (earliest < deadline || !Number.isFinite(earliest)) return null;
  const message = `The job cannot start before its deadline: its earliest start is in about ${Math.ceil(wait)} seconds.`;
  return { ...problem(400, "deadline_unreachable", message, "deadline"), earliest_possible: Math.ceil(earliest / 1_000) };
}

function problem(status: number, code: string, message: string, param: string | null): Problem {
  return { status, type: "invalid_request_error", code, message, param };
}
