/** OpenAI's files and batches. Times are Unix seconds. */
import { z } from "zod";
import type * as said from "../../../../schemas/batch.ts";
import { exactly } from "../described.ts";

export const FileObject = exactly<said.FileObject>()(() =>
  z.object({
    id: z.string(),
    object: z.literal("file"),
    bytes: z.number().int(),
    created_at: z.number().int(),
    filename: z.string(),
    purpose: z.enum(["batch", "batch_output"]).describe("`batch`: uploaded. `batch_output`: written by a batch."),
    status: z.literal("processed"),
  }),
);

const STATUSES = ["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"] as const;

const BatchError = exactly<said.BatchError>()(() =>
  z.object({
    code: z.string(),
    message: z.string(),
    param: z.string().nullable(),
    line: z.number().int().nullable().describe("Line number in the input file, counting from 1."),
  }),
);

const time = () => z.number().int().nullable();

export const BatchObject = exactly<said.BatchObject>()(() =>
  z.object({
    id: z.string(),
    object: z.literal("batch"),
    endpoint: z.string(),
    errors: z
      .object({ object: z.literal("list"), data: z.array(BatchError()) })
      .nullable()
      .describe("If the batch failed: what is wrong with its input file."),
    input_file_id: z.string(),
    completion_window: z.string(),
    status: z.enum(STATUSES),
    output_file_id: z.string().nullable().describe("File with one answer per line, in no particular order."),
    error_file_id: z.string().nullable().describe("File with one failed request per line."),
    created_at: z.number().int(),
    in_progress_at: time(),
    expires_at: z.number().int(),
    finalizing_at: time(),
    completed_at: time(),
    failed_at: time(),
    expired_at: time(),
    cancelling_at: time(),
    cancelled_at: time(),
    request_counts: z.object({ total: z.number().int(), completed: z.number().int(), failed: z.number().int() }),
    metadata: z.record(z.string(), z.string()).nullable(),
  }),
);
