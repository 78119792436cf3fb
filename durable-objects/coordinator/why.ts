/** The numbers behind `GET /v1/jobs/{id}/why`; the words are in policy/why.ts. */

import { tenantOf } from "../../platform/settings.ts";
import { free } from "../../policy/budget.ts";
import { inSeconds } from "../../policy/eta.ts";
import { isBatches } from "../../policy/flow.ts";
import type { Standing, WhyPool, WhyTenant } from "../../schemas/why.ts";
import type { Book, Pool } from "./book.ts";
import { inVain, pausedBy, shown, silentUntil } from "./condition/shown.ts";
import { failureTold, isTooLarge, placeOf } from "./inspect.ts";
import { inForce } from "./limits.ts";
import { reckon } from "./reckon.ts";

/** Null if the coordinator holds no ticket of that job, or only a verdict to deliver. */
export function standingOf(book: Book, job: string, now: number): Standing | null {
  const place = placeOf(book, job, now);
  if (!place) return null;
  const entry = book.find(job, now)!;
  const { row, address, waiting } = entry;
  const aside = isTooLarge(book, entry);
  const reckoned = waiting && !aside ? reckon(book, entry, waiting, now) : null;
  const between = row.phase === "delayed" && row.attempt > 0;
  const { rpm, tpm } = tenantOf(book.settings, address.tenant);
  const paused = pausedBy(book, row.pool, address.tenant);
  const last_failure = failureTold(entry);
  return {
    now: now / 1_000,
    status: place.state === "running" ? "in_progress" : place.state === "scheduled" ? "scheduled" : "queued",
    position: place.position,
    ahead: reckoned?.ahead ?? null,
    eta: place.eta,
    share: reckoned?.share ?? null,
    tokens: row.tokens,
    attempts: row.attempt - row.waits,
    ...(last_failure && { last_failure }),
    started_at: place.held ? place.held.startedAt / 1_000 : null,
    retry_at: between ? row.ready_at / 1_000 : null,
    not_before: secondsOf(row.not_before),
    deadline: secondsOf(row.deadline),
    ...(isBatches(entry.flow) && { batch: true as const }),
    pool: poolState(book, book.pools.get(row.pool)!, now),
    tenant: tenantState(book, row.pool, address.tenant),
    ...(aside && { aside: true as const }),
    ...(paused && { paused }),
    cap: { rpm, tpm },
  };
}

function poolState(book: Book, pool: Pool, now: number): WhyPool {
  const { budget, id } = pool;
  const condition = shown(book, pool, now);
  return {
    id,
    free: { requests: Math.floor(free(budget, "rpm", now)), tokens: Math.floor(free(budget, "tpm", now)) },
    limits: inForce(book, id),
    in_flight: budget.inFlight,
    ...(silentUntil(book, pool) > now && { held_until: inSeconds(silentUntil(book, pool)) }),
    ...(condition.state !== "normal" && { condition }),
  };
}

/** Counted from the leases: nothing else needs a count per tenant. */
function tenantState(book: Book, pool: string, id: string): WhyTenant {
  const { queued, weight } = book.tenant(id);
  let running = 0;
  for (const held of book.leased.values()) for (const { address } of held.values()) if (address.tenant === id) running++;
  const in_vain = inVain(book, pool, id);
  return { id, in_flight: running, queued: queued - running, weight, ...(in_vain && { in_vain }) };
}

function secondsOf(ms: number | null): number | null {
  return ms === null ? null : inSeconds(ms);
}
