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
    held_until: z.number().exactOptional().describe("Upstream asked for silence until then, Unix seconds."),
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
      .describe("So many calls in a row came to nothing in the job's pool, and the next one counts as so many turns."),
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
        .describe("What starts before it; the tokens are reckoned from the mean of what waits."),
      eta: Eta().nullable(),
      limited_by: LimitedBy(),
      reason: z.string().describe("In words."),
      pool: WhyPool().nullable(),
      tenant: WhyTenant().nullable().describe("Over all pools."),
      attempts: count(),
      last_failure: LastFailure().exactOptional(),
      retry_at: z.number().exactOptional().describe("Unix seconds."),
      not_before: z.number().exactOptional().describe("Unix seconds."),
      deadline: z.number().exactOptional().describe("Unix seconds."),
    })
    .describe(
      "Why a job waits. `ahead`, `pool` and `tenant` are null of one that has ended, or that the coordinator has yet to hear of, and to a token.",
    ),
);
