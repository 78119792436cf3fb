/** What a webhook is sent, and what became of it. Times are Unix seconds. */
import { z } from "zod";
import type * as said from "../../../../schemas/webhook.ts";
import { exactly } from "../described.ts";
import { Job } from "./job.ts";

const JOB_ENDED = ["job.completed", "job.failed", "job.cancelled", "job.expired"] as const;
const BATCH_ENDED = ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"] as const;

export const Delivery = exactly<said.Delivery>()(() =>
  z
    .object({
      id: z.string().describe("The event's."),
      object: z.literal("job.delivery"),
      job: z.string(),
      type: z.enum(JOB_ENDED),
      url: z.string(),
      status: z
        .enum(["pending", "delivered", "failed", "disabled"])
        .describe("`failed`: after the last attempt. `disabled`: the URL answered 410."),
      created_at: z.number(),
      attempts: z.number().int().describe("Those whose outcome is known."),
      last_attempt_at: z.number().nullable(),
      last_status: z.number().int().nullable().describe("What the receiver answered last; null if it did not."),
      last_error: z.enum(["timed_out", "unreachable", "unsigned"]).nullable().describe("Why no status came."),
      next_attempt_at: z.number().nullable(),
    })
    .describe("What became of an event on its way to a webhook."),
);

export const JobEndedEvent = exactly<said.JobEndedEvent>()(() =>
  z.object({
    id: z.string().describe("The same on every attempt to deliver it, and the header `webhook-id`."),
    object: z.literal("event"),
    type: z.enum(JOB_ENDED),
    created_at: z.number().describe("When the job ended."),
    data: z.object({
      ...Job().shape,
      truncated: z.boolean().describe("The response, or the error's message, is too long for an event: the job has it."),
    }),
  }),
);

export const BatchEndedEvent = exactly<said.BatchEndedEvent>()(() =>
  z.object({
    id: z.string(),
    object: z.literal("event"),
    type: z.enum(BATCH_ENDED),
    created_at: z.number(),
    data: z.object({ id: z.string().describe("The batch's.") }),
  }),
);
