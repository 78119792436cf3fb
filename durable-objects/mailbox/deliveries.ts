/** Questions about a job's webhook, and requests to tell it again. */

import { eventId, eventType } from "../../policy/webhook/event.ts";
import type { JobEnd } from "../../schemas/job.ts";
import type { Delivery } from "../../schemas/webhook.ts";
import { find } from "./attempts.ts";
import type { Desk } from "./desk.ts";

/** Empty before the job's end, and for a job without a webhook. Null if there is no such job. */
export function deliveries(desk: Desk, id: string): Delivery[] | null {
  const job = find(desk, id);
  if (!job) return null;
  const row = desk.store.deliveries.get(job.n);
  if (!row) return [];
  return [
    {
      id: eventId(id),
      object: "job.delivery",
      job: id,
      type: eventType(job.status as JobEnd),
      url: row.url,
      status: row.status,
      created_at: seconds(job.ended_at)!,
      attempts: row.attempts,
      last_attempt_at: seconds(row.last_at),
      last_status: row.last_status,
      last_error: row.last_error,
      next_attempt_at: seconds(row.next_at),
    },
  ];
}

/** Sends a delivery again. Null if there is no such delivery. */
export function redeliver(desk: Desk, id: string, delivery: string): Delivery | null {
  const job = find(desk, id);
  const row = job && delivery === eventId(id) ? desk.store.deliveries.get(job.n) : null;
  if (!row) return null;
  desk.webhooks.again(row);
  return deliveries(desk, id)?.[0] ?? null;
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : Math.floor(ms / 1_000);
}
