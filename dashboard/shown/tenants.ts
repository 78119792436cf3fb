/** Tenants as they are shown: those that have jobs in a pool, and those that operators hold or changed, jobs or none. */
import type { PoolState, QueueState } from "../../schemas/queue.ts";
import { FIELDS, settingsOf } from "./fields.ts";
import { count, duration, name } from "./words.ts";

/** `marks`: what is out of the ordinary, a word or two each. */
export type TenantRow = { id: string; name: string; depth: string; inFlight: string; weight: string; oldestWait: string; marks: string[] };
export type HeldTenant = { id: string; name: string; words: string };

/** Rows of one pool. */
const ROWS = 50;

type Held = Pick<QueueState, "paused_tenants" | "draining_tenants" | "overrides">;

/** In the order they came in, which is by name: a row does not jump away from under a finger. Of too many those that have most. */
export function tenantRows(tenants: PoolState["tenants"], state: Held): TenantRow[] {
  const most = [...tenants].sort((a, b) => b.depth + b.in_flight - (a.depth + a.in_flight)).slice(0, ROWS);
  const chosen = new Set(most);
  return tenants
    .filter((tenant) => chosen.has(tenant))
    .map(({ depth, id, in_flight, oldest_wait_seconds, weight }) => ({
      id,
      name: name(id),
      depth: count(depth),
      inFlight: count(in_flight),
      weight: count(weight),
      oldestWait: depth > 0 ? duration(oldest_wait_seconds) : "–",
      marks: marksOf(id, state),
    }));
}

export function heldTenants(state: Held): HeldTenant[] {
  const ids = new Set([...state.paused_tenants, ...state.draining_tenants, ...Object.keys(state.overrides.tenants)]);
  return [...ids].sort().map((id) => {
    const words = [
      state.paused_tenants.includes(id) && "paused: none of its jobs starts",
      state.draining_tenants.includes(id) && "draining: no new jobs of it are taken in",
      settingsOf(FIELDS.tenant, overridesOf(id, state)),
    ];
    return { id, name: name(id), words: words.filter((each) => typeof each === "string").join("; ") };
  });
}

function marksOf(id: string, state: Held): string[] {
  const marks: string[] = [];
  if (state.paused_tenants.includes(id)) marks.push("paused");
  if (state.draining_tenants.includes(id)) marks.push("draining");
  if (Object.keys(overridesOf(id, state)).length > 0) marks.push("set");
  return marks;
}

function overridesOf(id: string, { overrides: { tenants } }: Held): Record<string, number | null | undefined> {
  // A tenant may be called as a member of every object is.
  return Object.hasOwn(tenants, id) ? tenants[id]! : {};
}
