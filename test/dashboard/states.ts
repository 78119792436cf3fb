/** States of the queue as the service reports them. */
import type { PoolCondition, PoolState, QueueState } from "../../schemas/queue.ts";

/** ms */
export const NOW = 1_800_000_000_000;

export function condition(more: Partial<PoolCondition> = {}): PoolCondition {
  return { state: "normal", reason: null, code: null, since: null, next_probe_at: null, failed_probes: 0, share: 1, ...more };
}

export function pool(more: Partial<PoolState> = {}): PoolState {
  const none = { requests: 0, tokens: 0 };
  return {
    ...{ id: "p", depth: 0, in_flight: 0, scheduled: 0, oldest_wait_seconds: 0, paused: false, draining: false },
    condition: condition(),
    limits: { rpm: 500, tpm: 200_000, rpd: null, tpd: null, concurrency: null },
    overrides: {},
    burst_seconds: { requests: 60, tokens: 60 },
    ...{ used: none, free: { requests: 490, tokens: 196_000 }, foreign: none, used_day: none, call_seconds: 1, ended: {} },
    estimates: { calls: 0, reserved_tokens: 0, used_tokens: 0, exceeded: 0, exceeded_tokens: 0 },
    ...{ tenants: [], priorities: [] },
    doubts: { unknown_outcomes: 0, possible_duplicates: 0, possible_duplicate_tokens: 0, tenants: [] },
    ...more,
  };
}

export function queue(more: Partial<QueueState> = {}): QueueState {
  const free = { paused: false, paused_tenants: [], draining: false, draining_tenants: [], overrides: { pools: {}, tenants: {} } };
  return { object: "queue", ...free, pools: [pool()], ...more };
}

export function tenant(id: string, depth = 0, in_flight = 0): PoolState["tenants"][number] {
  const batches = { depth: 0, tokens: 0 };
  return { id, depth, tokens: depth * 100, batches, in_flight, weight: 1, oldest_wait_seconds: depth > 0 ? 5 : 0 };
}
