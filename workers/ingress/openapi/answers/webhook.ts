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
      id: z.string().describe("The event's id."),
      object: z.literal("job.delivery"),
      job: z.string(),
      type: z.enum(JOB_ENDED),
      url: z.string(),
      status: z
        .enum(["pending", "delivered", "failed", "disabled"])
        .describe("`failed`: the last attempt failed. `disabled`: the URL answered 410."),
      created_at: z.number(),
      attempts: z.number().int().describe("Attempts whose outcome is known."),
      last_attempt_at: z.number().nullable(),
      last_status: z.number().int().nullable().describe("HTTP status of the receiver's last answer; null if it did not answer."),
      last_error: z.enum(["timed_out", "unreachable", "unsigned"]).nullable().describe("Why the last attempt got no HTTP status."),
      next_attempt_at: z.number().nullable(),
    })
    .describe("The delivery of an event to a webhook."),
);

export const JobEndedEvent = exactly<said.JobEndedEvent>()(() =>
  z.object({
    id: z.string().describe("The same on every delivery attempt; also sent as the header `webhook-id`."),
    object: z.literal("event"),
    type: z.enum(JOB_ENDED),
    created_at: z.number().describe("When the job ended."),
    data: z.object({
      ...Job().shape,
      truncated: z.boolean().describe("The response or error message was too long for the event: fetch the job to get it."),
    }),
  }),
);

export const BatchEndedEvent = exactly<said.BatchEndedEvent>()(() =>
  z.object({
    id: z.string(),
    object: z.literal("event"),
    type: z.enum(BATCH_ENDED),
    created_at: z.number(),
    data: z.object({ id: z.string().describe("The batch's id.") }),
  }),
);
