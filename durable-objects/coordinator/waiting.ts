/** Tickets that wait, as the order knows them. */
import type { Waiting } from "../../policy/queue.ts";
import type { TicketRow } from "./store/store.ts";

export function waitingOf({ accepted_at, arrival, job, not_before, priority, prompt, tokens }: TicketRow, tenant: string): Waiting {
  const since = Math.max(accepted_at, not_before ?? 0);
  return { job, tenant, tokens, prompt, priority, effectiveAt: since - priority * 1_000, since, arrival };
}
