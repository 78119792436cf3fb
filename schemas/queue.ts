import type { Outcome } from "./rpc.ts";
import type { Overrides, PoolTuning } from "./tuning.ts";

/** `GET /v1/queue`: counted, not sampled. */
export type QueueState = {
  object: "queue";
  /** Everything is paused by an operator. */
  paused: boolean;
  paused_tenants: string[];
  /** No new jobs are accepted: from anybody, or from these tenants. */
  draining: boolean;
  draining_tenants: string[];
  /** What operators have set on top of the configuration, including pools that are no longer configured. */
  overrides: Overrides;
  pools: PoolState[];
};

/**
 * State of a pool; where several apply, the one that stops the most. `paused`: by an operator. `halted`: its calls cannot succeed until somebody acts.
 * `open`: upstream is down. `slowed`: the pool recovers from a `slow_down`; or it is refused (for the rate, or in spite of its cut) and has spent its
 * credit; or jobs are too large for a lowered limit (`lowered_limit`: only those jobs wait). Times are Unix seconds, to the ms.
 */
export type PoolCondition = {
  state: "normal" | "slowed" | "open" | "halted" | "paused";
  reason: "operator" | "billing" | "credentials" | "region" | "rate_limit" | "failures" | "slow_down" | "lowered_limit" | null;
  /** Upstream's code, type or status. */
  code: string | null;
  since: number | null;
  /** Null if there will be none, and while a probe runs. */
  next_probe_at: number | null;
  failed_probes: number;
  /** Share of the pool's rate that may be used, rounded down to thousandths. */
  share: number;
};

/** Calls of unknown outcome, and how many were repeated. Each repeat may have been billed twice, at most `possible_duplicate_tokens` in all. */
export type Doubts = { unknown_outcomes: number; possible_duplicates: number; possible_duplicate_tokens: number };

/** Tokens that answered calls reserved and used. `exceeded` counts the calls that used more than they reserved, by `exceeded_tokens` in all. */
export type Estimates = { calls: number; reserved_tokens: number; used_tokens: number; exceeded: number; exceeded_tokens: number };

export type PoolState = {
  id: string;
  /** `queued` jobs: in line, set aside for a lowered limit, or between two attempts. */
  depth: number;
  in_flight: number;
  /** `scheduled` jobs: their `not_before` is still to come. */
  scheduled: number;
  /** Of the queued jobs, since each was accepted, or since its `not_before` if that is later; to the ms. */
  oldest_wait_seconds: number;
  /** Nothing starts, except probes. */
  paused: boolean;
  condition: PoolCondition;
  /** No new jobs are accepted, from any tenant. */
  draining: boolean;
  /** Limits in force: as configured, as operators have set them since, or as upstream's headers say. */
  limits: { rpm: number; tpm: number; rpd: number | null; tpd: number | null; concurrency: number | null };
  /** What operators have set on top of the configuration. */
  overrides: PoolTuning;
  /** How much of each per-minute limit may be spent at once, in seconds of its rate; configured or learned. */
  burst_seconds: { requests: number; tokens: number };
  /** Of the per-minute buckets, in whole requests and tokens: `used` is what has not fully refilled, `free` what is fully there. */
  used: { requests: number; tokens: number };
  /** The same for the per-day limits; 0 where there is none. */
  used_day: { requests: number; tokens: number };
  free: { requests: number; tokens: number };
  /** What others on the same key spend of the limits per minute, rounded, as far as upstream's headers tell. */
  foreign: { requests: number; tokens: number };
  /** Calls that have ended since the coordinator woke, by outcome; outcomes that did not occur are missing. */
  ended: Partial<Record<Outcome["kind"], number>>;
  /** Since the coordinator woke. */
  estimates: Estimates;
  /** Recent mean length of a call; 5 until the first call since the coordinator woke has ended. */
  call_seconds: number;
  /** `tokens`: reserved by the queued jobs; `batches`: the part of them that are batch lines. */
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
  /** Since the beginning; `tenants` lists those that have any. */
  doubts: Doubts & { tenants: ({ id: string } & Doubts)[] };
};

/** Jobs of one tenant's, its batch lines apart, that the limits in force (`asIs`) or wished (`simulated`) would never hold; only where there are any. */
export type TooLarge = { pool: string; tenant: string; batch: boolean; asIs: Load; simulated: Load };
export type Load = { jobs: number; tokens: number };

/** The queue, and, if limits were wished, the jobs too large for them; missing from an older version. */
export type Inspected = QueueState & { tooLarge?: TooLarge[] };

/** One pool; if it is no longer configured, only what operators have set. */
export type PoolTuned = ({ object: "pool" } & PoolState) | { object: "pool"; id: string; overrides: PoolTuning };

/** A failed job. `failed_at` in ms; `attempts` does not count waits. */
export type DeadLetter = {
  id: number;
  job: string;
  tenant: string;
  pool: string;
  attempts: number;
  code: string | null;
  message: string;
  failed_at: number;
};

/** What an operator's lever acts on: a pool, a tenant, or everything. */
export type Scope = { kind: "pool" | "tenant"; id: string } | { kind: "all" };
/** `pause`: nothing in scope starts; running calls go on. `drain`: no new jobs are taken. `resume` ends both and, for a pool or everything, halts and cuts. */
export type Lever = "pause" | "drain" | "resume";
