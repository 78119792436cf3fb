/** Lists, and other small answers. */
import { z } from "zod";
import type * as said from "../../../../schemas/event.ts";
import { ENDS } from "../../../../schemas/job.ts";
import { exactly, type Made, once } from "../described.ts";
import { BatchObject, FileObject } from "./batch.ts";
import { ErrorBody, Job, SubmittedJob } from "./job.ts";
import { Delivery } from "./webhook.ts";

const list = z.literal("list");

/** A page in OpenAI's shape. */
const pageOf = (each: Made) =>
  once(() =>
    z.object({
      object: list,
      data: z.array(each()),
      first_id: z.string().nullable(),
      last_id: z.string().nullable().describe("Use it as `after` to get the next page."),
      has_more: z.boolean(),
    }),
  );

export const JobList = pageOf(Job);
export const FileList = pageOf(FileObject);
export const BatchList = pageOf(BatchObject);

export const SubmittedList = once(() =>
  z
    .object({ object: list, data: z.array(z.union([SubmittedJob(), ErrorBody()])) })
    .describe("A job or an error for each job sent, in the same order."),
);

export const RedrivenList = once(() =>
  z
    .object({ object: list, data: z.array(z.union([Job(), ErrorBody()])) })
    .describe("A new job or an error for each id given, in the same order."),
);

export const DeliveryList = once(() => z.object({ object: list, data: z.array(Delivery()), has_more: z.boolean() }));

const EVENTS = ["queued", "position", "in_progress", "delta", "retrying", ...ENDS] as const;

/** The part of a log entry that clients are told. */
export const JobEvent = exactly<Pick<said.JobEvent, "job" | "seq" | "event" | "data">>()(() =>
  z.object({
    job: z.string(),
    seq: z.number().int().describe("Starts at 1 and has no gaps."),
    event: z.enum(EVENTS),
    data: z
      .unknown()
      .describe(
        "Depends on `event`: `{chunks}` for `delta`, `{position, eta}` for `position`, `{attempt, retry_at, error, failed_at}` for `retrying`, the job for a final event.",
      ),
  }),
);

export const EventList = once(() =>
  z.object({
    object: list,
    data: z.array(JobEvent()),
    has_more: z.boolean().describe("More events are available right now."),
    last_seq: z.number().int().describe("Use it as `after` in the next call."),
    ended: z.boolean().describe("The job has ended: there will be no more events."),
  }),
);

export const DeadLetter = once(() =>
  z
    .object({
      id: z.string(),
      object: z.literal("dead_letter"),
      job: z.string(),
      tenant: z.string(),
      pool: z.string(),
      attempts: z.number().int(),
      error: z.object({ code: z.string().nullable(), message: z.string() }),
      failed_at: z.number().int().describe("Unix seconds."),
    })
    .describe("A job that failed."),
);

export const DeadLetterList = pageOf(DeadLetter);

export const Model = once(() =>
  z.object({
    id: z.string(),
    object: z.literal("model"),
    created: z.number().int().describe("Always 0: not known here."),
    owned_by: z.string(),
  }),
);

export const ModelList = once(() => z.object({ object: list, data: z.array(Model()) }));

export const RevokedToken = once(() => z.object({ object: z.literal("token"), revoked: z.literal(true) }));

export const DeletedFile = once(() => z.object({ id: z.string(), object: z.literal("file"), deleted: z.literal(true) }));

export const Service = once(() =>
  z
    .object({ object: z.literal("service"), name: z.string(), description: z.string(), health: z.string() })
    .describe("The paths of this description and of the health check."),
);

export const Health = once(() => z.object({ status: z.literal("ok") }));

export const ChatCompletion = once(() => z.looseObject({}).describe("OpenAI's chat completion, unchanged."));
