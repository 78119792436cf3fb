/** OpenAI's files and batches, as clients see them. Times are Unix seconds. */
import { z } from "zod";
import { Name } from "./channel.ts";
import { Metadata } from "./job.ts";
import { WEBHOOK_URL_LIMIT } from "./webhook.ts";

/** Limits of one input file, in lines and bytes; the same as OpenAI's. */
export const BATCH_LINES_LIMIT = 50_000;
export const FILE_BYTES_LIMIT = 200 * 1024 * 1024;
export const BATCH_ENDPOINT = "/v1/chat/completions";

export type FileObject = {
  id: string;
  object: "file";
  bytes: number;
  created_at: number;
  filename: string;
  purpose: "batch" | "batch_output";
  status: "processed";
};

export type BatchStatus = "validating" | "failed" | "in_progress" | "finalizing" | "completed" | "expired" | "cancelling" | "cancelled";

/** What is wrong with an input file; `line` counts from 1. */
export type BatchError = { code: string; message: string; param: string | null; line: number | null };

export type BatchObject = {
  id: string;
  object: "batch";
  endpoint: string;
  errors: { object: "list"; data: BatchError[] } | null;
  input_file_id: string;
  completion_window: string;
  status: BatchStatus;
  output_file_id: string | null;
  error_file_id: string | null;
  created_at: number;
  in_progress_at: number | null;
  expires_at: number;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  request_counts: { total: number; completed: number; failed: number };
  metadata: Record<string, string> | null;
};

/** What a client sends to create a batch. The window is in hours or days, a week at most: `24h`, as at OpenAI, or another. */
export const BatchInput = z.looseObject({
  input_file_id: z.string().min(1).max(128),
  endpoint: z.literal(BATCH_ENDPOINT, `must be ${BATCH_ENDPOINT}`),
  completion_window: z
    .string()
    .regex(/^(([1-9]\d?|1[0-5]\d|16[0-8])h|[1-7]d)$/, "must be a number of hours or days, such as 24h; at most a week"),
  metadata: Metadata.nullish(),
  webhook: z.string().min(1).max(WEBHOOK_URL_LIMIT).nullish(),
});
export type BatchInput = z.infer<typeof BatchInput>;

/** One line of an input file. Its body is checked like any other chat request. */
export const BatchLine = z.looseObject({
  custom_id: Name.min(1).max(512),
  method: z.literal("POST", "must be POST"),
  url: z.literal(BATCH_ENDPOINT, `must be ${BATCH_ENDPOINT}`),
  body: z.looseObject({}),
});
