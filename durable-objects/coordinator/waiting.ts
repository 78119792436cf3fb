/** Tickets that wait, as the order knows them. */
import { isBatchChannel } from "../../platform/mailboxes.ts";
import { flowOf } from "../../policy/flow.ts";
import type { Waiting } from "../../policy/queue.ts";
import type { MailboxAddress } from "../../schemas/rpc.ts";
import type { Entry } from "./book.ts";
import type { TicketRow } from "./store/store.ts";

/** How often a job's calls were refused since one was taken, and when last, ms. */
export type Refusals = { readonly times: number; readonly at: number };
/** Shared by most jobs. */
export const NO_REFUSALS: Refusals = { times: 0, at: Number.NEGATIVE_INFINITY };

/** The flow that a mailbox's jobs belong to. */
export function flowOfMailbox({ channel, tenant }: MailboxAddress): string {
  return flowOf(tenant, isBatchChannel(channel));
}

/** Since when a job waits, ms, whatever it was told meanwhile. */
export function sinceOf({ accepted_at, not_before }: TicketRow): number {
  return Math.max(accepted_at, not_before ?? 0);
}

/** A ticket as it stands in line. */
type Lined = Waiting & { readonly entry: Entry | null };

export function lined(entry: Entry): Waiting {
  return waitingOf(entry.row, { flow: entry.flow, tenant: entry.address.tenant }, entry);
}

/** For jobs from a pool's order: all of them were put there by `lined`. */
export function entryOf(waiting: Waiting): Entry {
  return (waiting as Lined).entry!;
}

export function waitingOf(row: TicketRow, { flow, tenant }: { flow: string; tenant: string }, entry: Entry | null = null): Lined {
  const { arrival, behind, job, priority, prompt, tokens } = row;
  const since = sinceOf(row);
  const effectiveAt = Math.max(since, behind ?? 0) - priority * 1_000;
  return { job, tenant, flow, tokens, prompt, priority, effectiveAt, since, arrival, entry };
}
