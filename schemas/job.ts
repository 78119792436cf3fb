import { z } from "zod";
import { Channel } from "./channel.ts";
import { isNestedDeeper, NESTING_LIMIT } from "./nesting.ts";
import type { Problem } from "./problem.ts";
import { JobToken } from "./token.ts";
import { WEBHOOK_URL_LIMIT } from "./webhook.ts";

/** OpenAI's own words. The last four are final: a job that reaches one never leaves it. */
export const STATUSES = ["scheduled", "queued", "in_progress", "completed", "failed", "cancelled", "expired"] as const;
export type JobStatus = (typeof STATUSES)[number];
export const ENDS = ["completed", "failed", "cancelled", "expired"] as const;
export type JobEnd = (typeof ENDS)[number];

/** Priority is a head start in seconds over the same tenant's other jobs, at most a day either way. */
export const PRIORITY_LIMIT_SECONDS = 86_400;

const unixSeconds = z.number().finite().min(0).max(32_503_680_000);

export const Message = z.looseObject({ role: z.string() });
type Message = z.infer<typeof Message>;

/** Reports only the first invalid message: there may be hundreds of thousands, and an issue for each would be too much. */
function checkMessages(messages: readonly unknown[], context: z.RefinementCtx): void {
  for (const [index, message] of messages.entries()) {
    const issue = Message.safeParse(message).error?.issues[0];
    if (!issue) continue;
    context.addIssue({ code: "custom", path: [index, ...issue.path], message: issue.message });
    return;
  }
}

/** A chat completion body. Only what Sluice needs is checked; everything else passes through untouched. */
export const ChatRequest = z
  .looseObject({
    model: z.string().min(1).max(256),
    messages: z.array(z.custom<Message>()).min(1).superRefine(checkMessages),
    n: z.number().int().min(1).max(128).nullish(),
    max_tokens: z.number().int().min(1).nullish(),
    max_completion_tokens: z.number().int().min(1).nullish(),
  })
  .refine((request) => !isNestedDeeper(request, NESTING_LIMIT), `must be nested at most ${NESTING_LIMIT} levels deep`);
export type ChatRequest = z.infer<typeof ChatRequest>;

/**
 * What happens to a call whose outcome is unknown (bytes were sent, no end came): `safe` calls again
 * unless a consumer has already seen part of the answer, `always` calls again, `never` fails the job.
 */
export const RetryPolicy = z.enum(["safe", "always", "never"]);
export type RetryPolicy = z.infer<typeof RetryPolicy>;

/**
 * What to do with a job whose deadline is before the earliest start the queue allows: `strict` refuses it at submit;
 * `best_effort` accepts it, and it expires at its deadline if it has not started.
 */
export const DeadlinePolicy = z.enum(["strict", "best_effort"]);
export type DeadlinePolicy = z.infer<typeof DeadlinePolicy>;

/** In seconds: up to a week in the queue, up to an hour per call. A missing value is the deployment's. */
export const Timeouts = z.strictObject({
  /** From when the job could first start until it does; after that it is `expired`. */
  queue: z.number().positive().max(604_800).nullish(),
  /** For each upstream call: until its response headers arrive. */
  first_byte: z.number().positive().max(3_600).nullish(),
  /** For each upstream call: longest silence on its stream. */
  idle: z.number().positive().max(3_600).nullish(),
  /** For each upstream call: the whole of it. */
  total: z.number().positive().max(3_600).nullish(),
});
export type Timeouts = z.infer<typeof Timeouts>;

/** OpenAI's bounds for metadata: 16 pairs, keys of 64 and values of 512 characters. */
export const Metadata = z
  .record(z.string().max(64), z.string().max(512))
  .refine((pairs) => Object.keys(pairs).length <= 16, "must have at most 16 pairs");

/** What a client submits. Times are Unix seconds. */
export const JobInput = z.strictObject({
  request: ChatRequest,
  channel: Channel.nullish(),
  priority: z.number().min(-PRIORITY_LIMIT_SECONDS).max(PRIORITY_LIMIT_SECONDS).nullish(),
  not_before: unixSeconds.nullish(),
  deadline: unixSeconds.nullish(),
  deadline_policy: DeadlinePolicy.nullish(),
  timeouts: Timeouts.nullish(),
  metadata: Metadata.nullish(),
  retry: RetryPolicy.nullish(),
  /** Answers are never taken from another job, so `false` merely agrees. */
  cache: z.literal(false).nullish(),
  /** URL that is told of the job's end. */
  webhook: z.string().min(1).max(WEBHOOK_URL_LIMIT).nullish(),
  /** Return a token for this job with the response. */
  token: z.union([z.literal(true), JobToken]).nullish(),
});
export type JobInput = z.infer<typeof JobInput>;

/** What keeps a job from starting now. */
export type LimitedBy = "rpm" | "tpm" | "rpd" | "tpd" | "concurrency" | "tenant_share" | "paused" | "ramp" | "scheduled" | "retry" | "none";

/** Seconds from now until the job starts, as the coordinator estimates it. */
export type Eta = { p50: number; p95: number; limited_by: LimitedBy };

export type Usage = { prompt_tokens: number; completion_tokens: number; total_tokens: number; [more: string]: unknown };

/** The most recent call of a job that came to nothing. Times are Unix seconds. */
export type LastFailure = {
  /** Its number among all calls of the job, as in the job's events. Calls that were not attempts count too. */
  attempt: number;
  /** Whether it was an attempt. A call that met a limit, or never left, is not. */
  counted: boolean;
  /** HTTP status and code of upstream's refusal, or Sluice's own where upstream said nothing. */
  status: number;
  code: string | null;
  /** The beginning of upstream's message, verbatim; null if upstream said nothing that concerns this job. */
  message: string | null;
  /** How many calls in a row, up to this one, ended with this status and code. */
  times: number;
  failed_at: number;
  /** Earliest time of the next call; null while the job runs, and while it is in line, where its place decides. */
  retry_at: number | null;
};

/** A job as clients see it. Times are Unix seconds. */
export type Job = {
  id: string;
  object: "job";
  status: JobStatus;
  channel: string | null;
  model: string;
  priority: number;
  created_at: number;
  not_before: number | null;
  deadline: number | null;
  started_at: number | null;
  ended_at: number | null;
  /** Upstream calls made for this job, not counting those that only met a rate limit or a stopped pool, or never left. */
  attempts: number;
  /** Calls of unknown outcome that were repeated: each may have been billed twice. */
  possible_duplicates: number;
  /** 1 is next; null once the job runs, and when the coordinator could not be asked. */
  position: number | null;
  eta: Eta | null;
  usage: Usage | null;
  /** The plain chat completion object. */
  response: unknown;
  /** `status`: HTTP status of upstream's refusal, or of Sluice's own. */
  error: Problem | null;
  metadata: Record<string, string> | null;
  /** Set if the job has not ended, one of its calls came to nothing, and the coordinator could be asked. */
  last_failure?: LastFailure;
};
