/** How a pool is shown. */
import type { PoolState, QueueState } from "../../schemas/queue.ts";
import { type ConditionView, conditionOf } from "./condition.ts";
import { FIELDS, settingsOf } from "./fields.ts";
import { type TenantRow, tenantRows } from "./tenants.ts";
import { count, counted, duration, listed, name, percent } from "./words.ts";

export type Figure = { label: string; value: string };
/** `part`: the spent part of what may be spent, 0 to 1. `set`: an operator set the limit. */
export type Bar = { label: string; part: number; words: string; set: boolean };

export type PoolView = {
  id: string;
  name: string;
  condition: ConditionView;
  draining: boolean;
  figures: Figure[];
  bars: Bar[];
  /** Further remarks, one sentence each. */
  notes: string[];
  overrides: string | null;
  doubts: string | null;
  priorities: string | null;
  tenants: TenantRow[];
  /** Tenants left out of `tenants` for lack of room. */
  moreTenants: number;
};

/** `now` in ms. */
export function poolView(pool: PoolState, state: QueueState, now: number): PoolView {
  const tenants = tenantRows(pool.tenants, state);
  return {
    id: pool.id,
    name: name(pool.id),
    condition: conditionOf(pool, state.paused, now),
    draining: pool.draining,
    figures: [
      { label: "Queued", value: count(pool.depth) },
      { label: "In flight", value: count(pool.in_flight) },
      { label: "Scheduled", value: count(pool.scheduled) },
      { label: "Oldest wait", value: duration(pool.oldest_wait_seconds) },
    ],
    bars: barsOf(pool),
    notes: notesOf(pool),
    overrides: settingsOf(FIELDS.pool, pool.overrides),
    doubts: doubtsOf(pool),
    priorities: prioritiesOf(pool),
    tenants,
    moreTenants: pool.tenants.length - tenants.length,
  };
}

function barsOf({ free, in_flight, limits, overrides, used, used_day }: PoolState): Bar[] {
  const ofMinute = (label: string, key: "rpm" | "tpm", spent: number, left: number): Bar => ({
    label,
    // What may go at once is often less than the limit, so a full bar means that nothing may start now.
    part: left > 0 ? spent / (spent + left) : 1,
    words: `${count(spent)} used, ${count(left)} free of ${count(limits[key])}`,
    set: key in overrides,
  });
  const ofLimit = (label: string, key: "rpd" | "tpd" | "concurrency", spent: number): Bar[] => {
    const limit = limits[key];
    return limit === null
      ? []
      : [{ label, part: Math.min(1, spent / limit), words: `${count(spent)} of ${count(limit)}`, set: key in overrides }];
  };
  return [
    ofMinute("Requests per minute", "rpm", used.requests, free.requests),
    ofMinute("Tokens per minute", "tpm", used.tokens, free.tokens),
    ...ofLimit("Requests per day", "rpd", used_day.requests),
    ...ofLimit("Tokens per day", "tpd", used_day.tokens),
    ...ofLimit("Concurrent calls", "concurrency", in_flight),
  ];
}

function notesOf({ burst_seconds, ended, estimates, foreign }: PoolState): string[] {
  const notes: string[] = [];
  const { requests, tokens } = burst_seconds;
  const [burst, same] = [Math.round(requests), Math.round(requests) === Math.round(tokens)];
  notes.push(
    `May be spent at once: ${same ? `${duration(burst)} of the rate` : `${duration(burst)} of the requests' rate, ${duration(Math.round(tokens))} of the tokens'`}.`,
  );
  if (foreign.requests >= 1 || foreign.tokens >= 1) {
    notes.push(
      `Others on the same key spend about ${counted(Math.round(foreign.requests), "request")} and ${counted(Math.round(foreign.tokens), "token")} per minute.`,
    );
  }
  const ends = Object.entries(ended).filter(([, times]) => times > 0);
  if (ends.length > 0)
    notes.push(`Ended calls: ${ends.map(([kind, times]) => `${count(times)} ${ENDED[kind] ?? kind.replaceAll("_", " ")}`).join(", ")}.`);
  if (estimates.reserved_tokens > 0) {
    const exceeded = estimates.exceeded > 0 ? `; ${count(estimates.exceeded)} used more than they reserved` : "";
    notes.push(`Answered calls used ${percent(estimates.used_tokens / estimates.reserved_tokens)} of the tokens they reserved${exceeded}.`);
  }
  return notes;
}

const ENDED: Record<string, string> = {
  committed: "answered",
  rate_limited: "refused by the rate limit (429)",
  no_capacity: "found no capacity",
  slow_down: "told to slow down",
  halted: "refused because of the key or billing",
  region: "refused because of the region",
  retryable: "failed, to be retried",
  fatal: "failed for good",
  void: "never sent",
  late: "too late to be sent",
  aborted: "aborted",
};

function doubtsOf({ doubts }: PoolState): string | null {
  const { possible_duplicate_tokens, possible_duplicates, tenants, unknown_outcomes } = doubts;
  if (unknown_outcomes + possible_duplicates === 0) return null;
  const again =
    possible_duplicates > 0
      ? `, ${count(possible_duplicates)} of them repeated: up to ${counted(possible_duplicate_tokens, "token")} may have been paid for twice`
      : "";
  const of = tenants.length > 0 ? ` (${listed(tenants.slice(0, 5).map(({ id }) => name(id)))}${tenants.length > 5 ? " …" : ""})` : "";
  return `${counted(unknown_outcomes, "call")} of unknown outcome${again}${of}.`;
}

/** How many priorities are listed. */
const PRIORITIES = 12;

function prioritiesOf({ priorities }: PoolState): string | null {
  // If all have the usual priority, there is nothing to say.
  if (priorities.every(({ priority }) => priority === 0)) return null;
  const named = priorities.slice(0, PRIORITIES).map(({ depth, priority }) => `${String(priority).replace("-", "−")}: ${count(depth)}`);
  const rest = priorities.slice(PRIORITIES).reduce((sum, { depth }) => sum + depth, 0);
  return `Queued by priority: ${named.join(", ")}${rest > 0 ? `, lower: ${count(rest)}` : ""}.`;
}
