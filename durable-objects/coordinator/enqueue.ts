/** Tickets come in from a mailbox. Repeating is harmless: a known ticket is left as it is. */
import { neverFits } from "../../policy/budget.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { MailboxAddress, Ticket } from "../../schemas/rpc.ts";
import type { Book } from "./book.ts";
import { FRESH } from "./store/store.ts";

/** Answers null where the ticket is in, in order. */
export function enqueue(book: Book, address: MailboxAddress, tickets: Ticket[], now: number): (Problem | null)[] {
  return tickets.map((ticket) => {
    if (book.entries.has(ticket.job)) return null;
    const problem = refusal(book, address, ticket);
    if (problem) return problem;
    const delayed = ticket.notBefore !== null && ticket.notBefore > now;
    const entry = book.insert(
      {
        job: ticket.job,
        mailbox: book.mailboxId(address),
        pool: ticket.pool,
        priority: ticket.priority,
        tokens: ticket.tokens,
        accepted_at: ticket.acceptedAt,
        not_before: ticket.notBefore,
        deadline: ticket.deadline,
        ...FRESH,
        phase: delayed ? "delayed" : "waiting",
        ready_at: delayed ? ticket.notBefore! : 0,
      },
      now,
    );
    book.dirty.add(entry);
    book.fresh.add(entry);
    return null;
  });
}

function refusal(book: Book, address: MailboxAddress, ticket: Ticket): Problem | null {
  const pool = book.pools.get(ticket.pool);
  if (!pool) return problem(400, "unknown_pool", `No pool "${ticket.pool}" is configured.`, "request.model");
  const meter = neverFits(pool.budget, ticket.tokens);
  if (meter) {
    const message = `This request reserves ${ticket.tokens} tokens; the pool "${ticket.pool}" never holds more than ${Math.floor(meter.whole)} (${meter.resource.toUpperCase()}).`;
    return problem(400, "reservation_exceeds_budget", message, "request");
  }
  const tenant = book.tenant(address.tenant);
  if (neverFits(tenant.budget, ticket.tokens)) {
    return problem(
      400,
      "reservation_exceeds_budget",
      `This request reserves ${ticket.tokens} tokens: more than the key's own limit.`,
      "request",
    );
  }
  if (tenant.maxQueued !== null && tenant.queued >= tenant.maxQueued) {
    return { ...problem(429, "queue_full", `${tenant.maxQueued} jobs of this tenant are queued already.`, null), type: "rate_limit_error" };
  }
  return null;
}

function problem(status: number, code: string, message: string, param: string | null): Problem {
  return { status, type: "invalid_request_error", code, message, param };
}
