/**
 * Tenants whose calls are not taken while others' are, in a pool that runs on credit: they must not spend what the others gain. Law: none of them waits
 * for good. Where upstream takes only part of what is sent, whoever was taken last would otherwise get all of it, for hours; so one of these tenants is
 * called now and then, each in turn.
 */
import * as credit from "../../../policy/credit.ts";
import { flowOf } from "../../../policy/flow.ts";
import type { Book, Pool } from "../book.ts";
import type { PoolState } from "./conditions.ts";

/** Between two such calls, ms. What drips meanwhile is enough for the others too. */
const TURN_MS = 2 * credit.DRIP_MS;

/** Whether the tenant's calls come to nothing while others' have been taken since. */
export function isInVain({ provenBy, vain }: PoolState, tenant: string): boolean {
  const known = vain.get(tenant);
  return known !== undefined && provenBy > known.since;
}

/** Until when such a tenant waits, ms. */
export function keptUntil(book: Book, pool: Pool, state: PoolState, tenant: string, now: number): number {
  if (!state.credit || !isInVain(state, tenant)) return now;
  const at = credit.readyAt(state.credit, now, credit.KEPT);
  const turnAt = state.vainAt + TURN_MS;
  if (at <= now || turnAt > now) return Math.min(at, turnAt);
  if (state.vainNext?.at !== now) state.vainNext = { at: now, tenant: longestInVain(book, pool, state) };
  return tenant === state.vainNext.tenant ? now : Math.min(at, now + TURN_MS);
}

/** Of those waiting, the tenant whose last call came to nothing longest ago. Found once per turn, if one of them asks. */
function longestInVain({ conditions }: Book, { order }: Pool, state: PoolState): string | null {
  const waits = (flow: string) => (order.lanes.get(flow)?.awake ?? 0) > 0;
  for (const tenant of state.vain.keys()) {
    if (!isInVain(state, tenant) || conditions.pausedTenants.has(tenant)) continue;
    if (waits(tenant) || waits(flowOf(tenant, true))) return tenant;
  }
  return null;
}
