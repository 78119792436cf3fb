import type { Eta, JobStatus, LastFailure, LimitedBy } from "./job.ts";
import type { PoolCondition } from "./queue.ts";

/** What the coordinator knows of why a job waits. Times are Unix seconds. */
export type Standing = {
  /** By the coordinator's clock: the instant that all of this describes. */
  now: number;
  status: "scheduled" | "queued" | "in_progress";
  /** Null if the job runs, is scheduled, or waits between two attempts. */
  position: number | null;
  /** What starts before it: jobs, and about how many tokens they reserve. `own`: how many of the jobs are the same tenant's. */
  ahead: { jobs: number; tokens: number; own: number } | null;
  eta: Eta | null;
  /** Why `limited_by` is `tenant_share`: the tenant's own limit, others taking their turns, or the tenant's calls coming to nothing. */
  share: "cap" | "turns" | "vain" | null;
  /** Tokens that the job reserves. */
  tokens: number;
  attempts: number;
  /** Missing if none of its calls came to nothing, or an older version handled them. */
  last_failure?: LastFailure;
  started_at: number | null;
  retry_at: number | null;
  not_before: number | null;
  deadline: number | null;
  /** It is too large for a current limit that may be raised again. */
  aside?: true;
  /** It is a line of a batch. */
  batch?: true;
  pool: WhyPool;
  tenant: WhyTenant;
  /** The scope of the operator's pause that keeps it waiting. */
  paused?: "all" | "pool" | "tenant";
  /** The tenant's own limits per minute. */
  cap: { rpm: number | null; tpm: number | null };
};

export type WhyPool = {
  id: string;
  free: { requests: number; tokens: number };
  limits: { rpm: number; tpm: number; rpd: number | null; tpd: number | null; concurrency: number | null };
  in_flight: number;
  /** Upstream asked for silence until then. */
  held_until?: number;
  /** Missing if the pool is normal. */
  condition?: PoolCondition;
};

/** Across all pools: calls in flight, and jobs that wait or are scheduled. */
export type WhyTenant = {
  id: string;
  in_flight: number;
  queued: number;
  weight: number;
  /** In the job's pool this many calls in a row came to nothing, so the next one counts as this many turns. */
  in_vain?: { calls: number; turns: number };
};

/** `GET /v1/jobs/{id}/why`. `pool` and `tenant` are null for a job that has ended or that the coordinator has yet to hear of, and for a token. */
export type JobWhy = {
  object: "job.why";
  job: string;
  status: JobStatus;
  position: number | null;
  ahead: { jobs: number; tokens: number } | null;
  eta: Eta | null;
  limited_by: LimitedBy;
  reason: string;
  pool: WhyPool | null;
  tenant: WhyTenant | null;
  attempts: number;
  last_failure?: LastFailure;
  retry_at?: number;
  not_before?: number;
  deadline?: number;
};
