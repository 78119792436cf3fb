/** Tickets that wait, as the order knows them. */
import { isBatchChannel } from "../../platform/mailboxes.ts";
import { flowOf } from "../../policy/flow.ts";
import type { Waiting } from "../../policy/queue.ts";
import type { MailboxAddress } from "../../schemas/rpc.ts";
import type { TicketRow } from "./store/store.ts";

/** With whose jobs those of a mailbox stand in line. */
export function flowOfMailbox({ channel, tenant }: MailboxAddress): string {
  return flowOf(tenant, isBatchChannel(channel));
}

/** Since when a job waits, whatever it was told meanwhile, ms. */
export function sinceOf({ accepted_at, not_before }: TicketRow): number {
  return Math.max(accepted_at, not_before ?? 0);
}

export function waitingOf(row: TicketRow, { flow, tenant }: { flow: string; tenant: string }): Waiting {
  const { arrival, behind, job, priority, prompt, tokens } = row;
  const since = sinceOf(row);
  return { job, tenant, flow, tokens, prompt, priority, effectiveAt: Math.max(since, behind ?? 0) - priority * 1_000, since, arrival };
}
