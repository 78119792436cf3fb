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
          "`paused`: by an operator. `halted`: no call can succeed before somebody acts. `open`: upstream is down. `slowed`: a part of the rate may be used.",
        ),
      reason: z.enum(REASONS).nullable(),
      code: z.string().nullable().describe("Upstream's code, type or status."),
      since: z.number().nullable().describe("Unix seconds."),
      next_probe_at: z.number().nullable().describe("Unix seconds; null when there will be none, and while one runs."),
      failed_probes: count(),
      share: z.number().describe("Of the pool's rate, what may be used."),
    })
    .describe("How a pool stands; of several, what stops most."),
);

const doubts = () => ({
  unknown_outcomes: count().describe("Calls of which nobody knows how they ended."),
  possible_duplicates: count().describe("Those of them that were made again."),
  possible_duplicate_tokens: z.number().describe("What those reserved."),
});

const estimates = () =>
  z.object({
    calls: count(),
    reserved_tokens: z.number(),
    used_tokens: z.number(),
    exceeded: count().describe("Calls that used more than they had reserved."),
    exceeded_tokens: z.number().describe("By how much, together."),
  });

const WAITS = ["rate_limited", "no_capacity", "slow_down", "halted", "region", "late"] as const;
const OUTCOMES = ["committed", "void", "aborted", ...WAITS, "retryable", "fatal"] as const;

const poolDepth = () => ({
  depth: count().describe("Jobs that are queued, whatever they wait for."),
  in_flight: count().describe("Calls under way."),
  scheduled: count().describe("Jobs whose `not_before` lies ahead."),
  oldest_wait_seconds: z.number().describe("Of those that are queued, since they were accepted, or since their `not_before`."),
});

const poolBudget = () => ({
  limits: limits().describe("Those in force."),
  overrides: set(),
  burst_seconds: resources().describe("How much of the limits of a minute may be spent at once, in seconds of their rates."),
  used: resources().describe("Of the limits of a minute: what is spent and not yet refilled."),
  used_day: resources().describe("The same of the limits of a day; 0 where there is none."),
  free: resources().describe("What may be spent of the limits of a minute at once."),
  foreign: resources().describe("What others spend on the same key, a minute, as far as upstream's headers tell."),
});

const waitingTenant = () =>
  z.object({
    id: z.string(),
    depth: count(),
    tokens: z.number().describe("What those that are queued reserve."),
    batches: z.object({ depth: count(), tokens: z.number() }).describe("Those of them that are lines of batches."),
    in_flight: count(),
    weight: z.number(),
    oldest_wait_seconds: z.number(),
  });

export const PoolState = exactly<said.PoolState>()(() =>
  z.object({
    id: z.string(),
    ...poolDepth(),
    paused: z.boolean().describe("Nothing starts but probes."),
    condition: PoolCondition(),
    draining: z.boolean().describe("No new jobs are taken in."),
    ...poolBudget(),
    ended: z.partialRecord(z.enum(OUTCOMES), count()).describe("Calls that have ended since the coordinator woke, by how."),
    call_seconds: z
      .number()
      .describe("How long a call has taken of late, on the average; 5 until the first has ended since the coordinator woke."),
    estimates: estimates().describe("What answered calls had reserved and used, since the coordinator woke."),
    tenants: z.array(waitingTenant()),
    priorities: z.array(z.object({ priority: z.number(), depth: count() })),
    doubts: z
      .object({ ...doubts(), tenants: z.array(z.object({ id: z.string(), ...doubts() })) })
      .describe("What may have been paid for twice, ever."),
  }),
);

const set = () => PoolTuning.describe("What operators have set over what is configured.");

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
      paused: z.boolean().describe("Everything is paused by an operator."),
      paused_tenants: z.array(z.string()),
      draining: z.boolean().describe("No new jobs of anybody are taken in."),
      draining_tenants: z.array(z.string()),
      overrides: z
        .object({ pools: z.record(z.string(), PoolTuning), tenants: z.record(z.string(), TenantTuning) })
        .describe("What operators have set over what is configured, of pools that are configured no more as well."),
      pools: z.array(PoolState()),
    })
    .describe("Counted, not sampled."),
);

export const Tenant = exactly<SaidTenant>()(() =>
  z.object({
    object: z.literal("tenant"),
    id: z.string(),
    weight: z.number(),
    rpm: z.number().nullable(),
    tpm: z.number().nullable(),
    max_queued: z.number().nullable(),
    queued: count().describe("Its jobs that have not ended."),
    overrides: TenantTuning.describe("What of it is set over what is configured."),
  }),
);

const waits = () =>
  z
    .object({ p50: z.number(), p95: z.number(), last: z.number() })
    .describe("When half of them, nearly all and the last would start, in seconds from now.");

const simulatedTenant = () =>
  z.object({
    id: z.string(),
    batch: z.boolean().describe("Its lines of batches, or its other jobs."),
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
          as_is: z.object({ last: z.number() }),
          simulated: z.object({ last: z.number() }),
          tenants: z.array(simulatedTenant()),
        }),
      ),
    })
    .describe("What would become of the jobs that wait now, as it is and with what was asked for."),
);
