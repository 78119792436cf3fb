import type { Outcome } from "./rpc.ts";
import type { Overrides, PoolTuning } from "./tuning.ts";

/** `GET /v1/queue`: counted, not sampled. */
export type QueueState = {
  object: "queue";
  /** Everything is paused by an operator. */
  paused: boolean;
  paused_tenants: string[];
  /** No new jobs are taken in: of anybody, and of these tenants. */
  draining: boolean;
  draining_tenants: string[];
  /** What operators have set over what is configured, of pools that are not configured any more as well. */
  overrides: Overrides;
  pools: PoolState[];
};

/**
 * How a pool stands; of several, what stops most. `paused`: by an operator. `halted`: its calls cannot succeed before somebody acts. `open`: upstream is
 * down. `slowed`: it comes back from a `slow_down`, or is refused, for the rate or in spite of its cut, and has spent its credit, or jobs are too large for a
 * limit that upstream or an operator lowered (`lowered_limit`: the others go on). Times are Unix seconds, to the ms.
 */
export type PoolCondition = {
  state: "normal" | "slowed" | "open" | "halted" | "paused";
  reason: "operator" | "billing" | "credentials" | "region" | "rate_limit" | "failures" | "slow_down" | "lowered_limit" | null;
  /** Upstream's code, type or status. */
  code: string | null;
  since: number | null;
  /** Null when there will be none, and while one runs. */
  next_probe_at: number | null;
  failed_probes: number;
  /** Of the pool's rate, what may be used, in thousandths. */
  share: number;
};

/** Calls of unknown outcome, and those of them that were made again: each may have been paid twice, `possible_duplicate_tokens` at the most. */
export type Doubts = { unknown_outcomes: number; possible_duplicates: number; possible_duplicate_tokens: number };

/**
 * What calls that were answered had reserved, and what they used. `exceeded`: those that used more than they had reserved, by `exceeded_tokens` together.
 */
export type Estimates = { calls: number; reserved_tokens: number; used_tokens: number; exceeded: number; exceeded_tokens: number };

export type PoolState = {
  id: string;
  /** Jobs that are `queued`: in line, aside for a lowered limit, or between two attempts. */
  depth: number;
  in_flight: number;
  /** Jobs that are `scheduled`: their `not_before` lies ahead. */
  scheduled: number;
  /** Of those that are queued, since they were accepted, or since their `not_before`; to the ms. */
  oldest_wait_seconds: number;
  /** Nothing starts, or probes alone. */
  paused: boolean;
  condition: PoolCondition;
  /** No new jobs are taken in, of whatever tenant. */
  draining: boolean;
  /** Those in force: as configured, as operators have set them since, or as upstream's headers tell. */
  limits: { rpm: number; tpm: number; rpd: number | null; tpd: number | null; concurrency: number | null };
  /** What operators have set over what is configured. */
  overrides: PoolTuning;
  /** Of the limits of a minute: how much may be spent at once, in seconds of their rates; as configured, or as learned. */
  burst_seconds: { requests: number; tokens: number };
  /** Of the buckets of a minute, in whole requests and tokens: what is spent and not yet all refilled, and what is all there. */
  used: { requests: number; tokens: number };
  /** The same of the limits of a day; 0 where there is none. */
  used_day: { requests: number; tokens: number };
  free: { requests: number; tokens: number };
  /** What others spend of the limits on the same key, a minute, as far as upstream's headers tell: to the nearest whole one. */
  foreign: { requests: number; tokens: number };
  /** Calls that have ended since the coordinator woke, by how; none of a kind is not there. */
  ended: Partial<Record<Outcome["kind"], number>>;
  /** Since the coordinator woke. */
  estimates: Estimates;
  /** How long a call has taken of late, on the average; 5 until the first has ended since the coordinator woke. */
  call_seconds: number;
  /** `tokens`: what those that are queued reserve; `batches`: those of them that are lines of batches. */
  tenants: {
    id: string;
    depth: number;
    tokens: number;
    batches: { depth: number; tokens: number };
    in_flight: number;
    weight: number;
    oldest_wait_seconds: number;
  }[];
  priorities: { priority: number; depth: number }[];
  /** Since the beginning; `tenants` are those that have any. */
  doubts: Doubts & { tenants: ({ id: string } & Doubts)[] };
};

/** A pool by itself; of one that is not configured any more, what is set. */
export type PoolTuned = ({ object: "pool" } & PoolState) | { object: "pool"; id: string; overrides: PoolTuning };
