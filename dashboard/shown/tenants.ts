/** How tenants are shown: those with jobs in a pool, and those that operators hold or changed, with or without jobs. */
import type { PoolState, QueueState } from "../../schemas/queue.ts";
import { FIELDS, settingsOf } from "./fields.ts";
import { count, duration, name } from "./words.ts";

/** `marks`: anything unusual, a word or two each. */
export type TenantRow = { id: string; name: string; depth: string; inFlight: string; weight: string; oldestWait: string; marks: string[] };
export type HeldTenant = { id: string; name: string; words: string };

/** Rows per pool. */
const ROWS = 50;

type Held = Pick<QueueState, "paused_tenants" | "draining_tenants" | "overrides">;

/** In the order in which they came, which is by name, so that a row does not jump away while someone presses it. If there are too many, the busiest. */
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
      state.paused_tenants.includes(id) && "paused: none of its jobs start",
      state.draining_tenants.includes(id) && "draining: its new jobs are refused",
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
  // A tenant may have the name of a member that every object has.
  return Object.hasOwn(tenants, id) ? tenants[id]! : {};
}
