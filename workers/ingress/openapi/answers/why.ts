/** Why a job waits. */
import { z } from "zod";
import type * as why from "../../../../schemas/why.ts";
import { exactly } from "../described.ts";
import { Eta, JobStatus, LastFailure, LimitedBy } from "./job.ts";
import { count, limits, PoolCondition, resources } from "./queue.ts";

const WhyPool = exactly<why.WhyPool>()(() =>
  z.object({
    id: z.string(),
    free: resources(),
    limits: limits(),
    in_flight: count(),
    held_until: z.number().exactOptional().describe("Upstream asked not to be called until then, Unix seconds."),
    condition: PoolCondition().exactOptional(),
  }),
);

const WhyTenant = exactly<why.WhyTenant>()(() =>
  z.object({
    id: z.string(),
    in_flight: count(),
    queued: count(),
    weight: z.number(),
    in_vain: z
      .object({ calls: count(), turns: z.number() })
      .exactOptional()
      .describe(
        "This many calls in a row failed in the job's pool (`calls`), so the tenant's next call counts as this many turns (`turns`).",
      ),
  }),
);

export const JobWhy = exactly<why.JobWhy>()(() =>
  z
    .object({
      object: z.literal("job.why"),
      job: z.string(),
      status: JobStatus(),
      position: count().nullable(),
      ahead: z
        .object({ jobs: count(), tokens: z.number() })
        .nullable()
        .describe("What starts before this job. `tokens` is an estimate from the mean of the waiting jobs."),
      eta: Eta().nullable(),
      limited_by: LimitedBy(),
      reason: z.string().describe("The reason in one sentence, for people."),
      pool: WhyPool().nullable(),
      tenant: WhyTenant().nullable().describe("Counted over all pools."),
      attempts: count(),
      last_failure: LastFailure().exactOptional(),
      retry_at: z.number().exactOptional().describe("Earliest time of the next attempt, Unix seconds."),
      not_before: z.number().exactOptional().describe("Unix seconds."),
      deadline: z.number().exactOptional().describe("Unix seconds."),
    })
    .describe(
      "Why a job waits. `pool` and `tenant` are null if the job has ended, if the coordinator does not know it yet, and for browser tokens. So is `ahead`, and it is null without a `position`.",
    ),
);
