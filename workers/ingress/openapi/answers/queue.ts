/** The queue, as operators see it. */
import { z } from "zod";
import type * as said from "../../../../schemas/queue.ts";
import type { TenantState as SaidTenant } from "../../../../schemas/tuning.ts";
import { PoolTuning, TenantTuning } from "../../../../schemas/tuning.ts";
import { exactly, once } from "../described.ts";

export const count = () => z.number().int();
export const resources = () => z.object({ requests: z.number(), tokens: z.number() });
export const limits = () =>
  z.object({
    rpm: z.number(),
    tpm: z.number(),
    rpd: z.number().nullable(),
    tpd: z.number().nullable(),
    concurrency: z.number().nullable(),
  });

const REASONS = ["operator", "billing", "credentials", "region", "rate_limit", "failures", "slow_down", "lowered_limit"] as const;

export const PoolCondition = exactly<said.PoolCondition>()(() =>
  z
    .object({
      state: z
        .enum(["normal", "slowed", "open", "halted", "paused"])
        .describe(
          "`paused`: by an operator. `halted`: calls cannot succeed until somebody acts. `open`: upstream is down. `slowed`: the pool, or some of its jobs, is held back; see `reason`.",
        ),
      reason: z.enum(REASONS).nullable(),
      code: z.string().nullable().describe("Upstream's error code, type or status."),
      since: z.number().nullable().describe("Unix seconds."),
      next_probe_at: z.number().nullable().describe("Unix seconds. Null if no probe is planned, and while one runs."),
      failed_probes: count(),
      share: z.number().describe("Fraction of the pool's rate that may be used."),
    })
    .describe("State of a pool. If several apply, the one that stops the most."),
);

const doubts = () => ({
  unknown_outcomes: count().describe("Calls whose outcome is unknown."),
  possible_duplicates: count().describe("How many of those were repeated."),
  possible_duplicate_tokens: z.number().describe("Tokens reserved by the repeated ones."),
});

const estimates = () =>
  z.object({
    calls: count(),
    reserved_tokens: z.number(),
    used_tokens: z.number(),
    exceeded: count().describe("Calls that used more tokens than they had reserved."),
    exceeded_tokens: z.number().describe("Total excess of those calls, in tokens."),
  });

const WAITS = ["rate_limited", "no_capacity", "slow_down", "halted", "region", "late"] as const;
const OUTCOMES = ["committed", "void", "aborted", ...WAITS, "retryable", "fatal"] as const;

const poolDepth = () => ({
  depth: count().describe("Queued jobs, whatever they wait for."),
  in_flight: count().describe("Calls in flight."),
  scheduled: count().describe("Jobs whose `not_before` is still to come."),
  oldest_wait_seconds: z
    .number()
    .describe("Longest wait of a queued job, counted from when it was accepted or from its `not_before`, whichever is later."),
});

const poolBudget = () => ({
  limits: limits().describe("The limits in force."),
  overrides: set(),
  burst_seconds: resources().describe("How much of each per-minute limit may be spent at once, in seconds of its rate."),
  used: resources().describe("Part of the per-minute limits that is spent and has not refilled yet."),
  used_day: resources().describe("The same for the per-day limits; 0 if there is none."),
  free: resources().describe("Part of the per-minute limits that may be spent right now."),
  foreign: resources().describe("What others spend per minute on the same key, as far as upstream's headers show."),
});

const waitingTenant = () =>
  z.object({
    id: z.string(),
    depth: count(),
    tokens: z.number().describe("Tokens that its queued jobs reserve."),
    batches: z.object({ depth: count(), tokens: z.number() }).describe("The part of `depth` and `tokens` that comes from batches."),
    in_flight: count(),
    weight: z.number(),
    oldest_wait_seconds: z.number(),
  });

export const PoolState = exactly<said.PoolState>()(() =>
  z.object({
    id: z.string(),
    ...poolDepth(),
    paused: z.boolean().describe("Only probes start."),
    condition: PoolCondition(),
    draining: z.boolean().describe("New jobs are refused."),
    ...poolBudget(),
    ended: z.partialRecord(z.enum(OUTCOMES), count()).describe("Calls that have ended since the coordinator woke, by outcome."),
    call_seconds: z
      .number()
      .describe("Recent mean length of a call, in seconds; 5 until the first call since the coordinator woke has ended."),
    estimates: estimates().describe("Tokens that answered calls reserved and used since the coordinator woke."),
    tenants: z.array(waitingTenant()),
    priorities: z.array(z.object({ priority: z.number(), depth: count() })),
    doubts: z
      .object({ ...doubts(), tenants: z.array(z.object({ id: z.string(), ...doubts() })) })
      .describe("What may have been paid for twice, since the beginning."),
  }),
);

const set = () => PoolTuning.describe("Settings by operators that override the configuration.");

/** For a pool that is no longer configured, only the overrides are left. */
export const Pool = exactly<said.PoolTuned>()(() =>
  z.union([
    z.object({ object: z.literal("pool"), ...PoolState().shape }),
    z.object({ object: z.literal("pool"), id: z.string(), overrides: set() }),
  ]),
);

export const QueueState = exactly<said.QueueState>()(() =>
  z
    .object({
      object: z.literal("queue"),
      paused: z.boolean().describe("An operator has paused everything."),
      paused_tenants: z.array(z.string()),
      draining: z.boolean().describe("New jobs are refused from every tenant."),
      draining_tenants: z.array(z.string()),
      overrides: z
        .object({ pools: z.record(z.string(), PoolTuning), tenants: z.record(z.string(), TenantTuning) })
        .describe("Settings by operators that override the configuration, including those for pools that are no longer configured."),
      pools: z.array(PoolState()),
    })
    .describe("The state of the queue. Figures are counted, not sampled."),
);

export const Tenant = exactly<SaidTenant>()(() =>
  z.object({
    object: z.literal("tenant"),
    id: z.string(),
    weight: z.number(),
    rpm: z.number().nullable(),
    tpm: z.number().nullable(),
    max_queued: z.number().nullable(),
    queued: count().describe("The tenant's jobs that have not ended."),
    overrides: TenantTuning.describe("Settings by operators that override the configuration."),
  }),
);

const never = () =>
  count().describe(
    "Jobs that would never start: they reserve more than the limits would ever let through at once. The times are those of the others.",
  );

const last = () => z.object({ last: z.number().nullable(), never: never() });

const waits = () =>
  z
    .object({ p50: z.number().nullable(), p95: z.number().nullable(), last: z.number().nullable(), never: never() })
    .describe("When half of the jobs, 95 % of them, and the last one would start, in seconds from now; null if none would.");

const simulatedTenant = () =>
  z.object({
    id: z.string(),
    batch: z.boolean().describe("True for the tenant's batch lines, false for its other jobs."),
    depth: count(),
    as_is: waits(),
    simulated: waits(),
  });

export const Simulation = once(() =>
  z
    .object({
      object: z.literal("simulation"),
      pools: z.array(
        z.object({
          id: z.string(),
          depth: count(),
          as_is: last(),
          simulated: last(),
          tenants: z.array(simulatedTenant()),
        }),
      ),
    })
    .describe("When the jobs waiting now would start: under the current settings (`as_is`) and under the requested ones (`simulated`)."),
);
