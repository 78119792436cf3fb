/** `GET /v1/queue`: counted, not sampled. */
export type QueueState = {
  object: "queue";
  pools: PoolState[];
};

export type PoolState = {
  id: string;
  /** Jobs that wait and could start if the budget allowed. */
  depth: number;
  in_flight: number;
  /** Jobs that wait for `not_before` or for a retry. */
  scheduled: number;
  oldest_wait_seconds: number;
  paused: boolean;
  limits: { rpm: number; tpm: number; rpd: number | null; tpd: number | null; concurrency: number | null };
  /** Of the buckets of a minute: what is spent and not yet refilled. */
  used: { requests: number; tokens: number };
  free: { requests: number; tokens: number };
  tenants: { id: string; depth: number; in_flight: number; weight: number; oldest_wait_seconds: number }[];
  priorities: { priority: number; depth: number }[];
};
