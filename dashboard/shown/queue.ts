/** How the whole queue is shown. */
import type { QueueState } from "../../schemas/queue.ts";
import type { Tone } from "./condition.ts";
import { FIELDS, settingsOf } from "./fields.ts";
import { type Figure, type PoolView, poolView } from "./pool.ts";
import { type HeldTenant, heldTenants } from "./tenants.ts";
import { count, duration, listed, name } from "./words.ts";

/** A pool that is no longer configured, with its overrides. */
export type GonePool = { id: string; name: string; words: string };
/** `held`: shown above everything else, as long as it applies. */
type QueueView = {
  tone: Tone;
  title: string;
  held: string[];
  figures: Figure[];
  pools: PoolView[];
  gone: GonePool[];
  tenants: HeldTenant[];
};

/** `now` in ms. */
export function queueView(state: QueueState, now: number): QueueView {
  const pools = state.pools.map((pool) => poolView(pool, state, now));
  const sum = (of: "depth" | "in_flight" | "scheduled") => state.pools.reduce((all, pool) => all + pool[of], 0);
  const troubled = pools.filter(({ condition }) => condition.tone === "bad");
  const depth = sum("depth");
  const oldest = Math.max(0, ...state.pools.map((pool) => pool.oldest_wait_seconds));
  return {
    tone: troubled.length > 0 ? "bad" : state.paused || state.draining ? "warn" : "calm",
    title: titleOf(state, troubled, depth),
    held: heldOf(state, troubled),
    figures: [
      { label: "Queued", value: count(depth) },
      { label: "In flight", value: count(sum("in_flight")) },
      { label: "Scheduled", value: count(sum("scheduled")) },
      { label: "Oldest wait", value: duration(oldest) },
    ],
    pools,
    gone: goneOf(state),
    tenants: heldTenants(state),
  };
}

function goneOf({ overrides, pools }: QueueState): GonePool[] {
  const there = new Set(pools.map(({ id }) => id));
  return Object.entries(overrides.pools)
    .filter(([id]) => !there.has(id))
    .map(([id, set]) => ({ id, name: name(id), words: settingsOf(FIELDS.pool, set) ?? "" }));
}

/** The title of the tab, which may be one of many. */
function titleOf(state: QueueState, [troubled]: PoolView[], depth: number): string {
  if (state.paused) return "Paused · Sluice";
  if (troubled) return `${troubled.name} ${troubled.condition.state} · Sluice`;
  return `${count(depth)} queued · Sluice`;
}

function heldOf(state: QueueState, troubled: PoolView[]): string[] {
  const held: string[] = [];
  if (state.paused) held.push("Everything is paused by an operator: no calls start. Jobs are still accepted.");
  if (state.draining) held.push("Everything is draining: new jobs are refused. Accepted jobs go on.");
  for (const { condition, name } of troubled)
    held.push(`Pool ${name} is ${condition.state === "open" ? "cut off: upstream is down" : condition.state}.`);
  if (!state.paused)
    named(
      held,
      "Pool",
      state.pools.filter(({ condition }) => condition.state === "paused"),
      "paused",
    );
  if (!state.draining)
    named(
      held,
      "Pool",
      state.pools.filter(({ draining }) => draining),
      "draining",
    );
  named(
    held,
    "Tenant",
    state.paused_tenants.map((id) => ({ id })),
    "paused",
  );
  named(
    held,
    "Tenant",
    state.draining_tenants.map((id) => ({ id })),
    "draining",
  );
  return held;
}

/** How many are named; the rest are only counted. */
const NAMED = 5;

function named(held: string[], kind: string, all: { id: string }[], state: string): void {
  if (all.length === 0) return;
  const names = all.slice(0, NAMED).map(({ id }) => name(id));
  if (all.length > NAMED) names.push(`${count(all.length - NAMED)} more`);
  held.push(`${kind}${all.length > 1 ? "s" : ""} ${listed(names)} ${all.length > 1 ? "are" : "is"} ${state}.`);
}
