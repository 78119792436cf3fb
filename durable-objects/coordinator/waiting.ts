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

export function waitingOf(row: TicketRow, { flow, tenant }: { flow: string; tenant: string }): Waiting {
  const { accepted_at, arrival, job, not_before, priority, prompt, tokens } = row;
  const since = Math.max(accepted_at, not_before ?? 0);
  return { job, tenant, flow, tokens, prompt, priority, effectiveAt: since - priority * 1_000, since, arrival };
}
