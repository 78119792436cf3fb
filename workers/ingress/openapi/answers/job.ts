/** A job, as clients see it. */
import { z } from "zod";
import type * as said from "../../../../schemas/job.ts";
import { STATUSES } from "../../../../schemas/job.ts";
import type * as problem from "../../../../schemas/problem.ts";
import { exactly, once } from "../described.ts";

const unix = (what: string) => z.number().describe(`Unix seconds: ${what}`);
const unixOrNull = (what: string) => z.number().nullable().describe(`Unix seconds: ${what}`);

const LIMITED_BY = ["rpm", "tpm", "rpd", "tpd", "concurrency", "tenant_share", "paused", "ramp", "scheduled", "retry", "none"] as const;

export const JobStatus = exactly<said.JobStatus>()(() =>
  z.enum(STATUSES).describe("The last four are final: a job that reaches one never leaves it."),
);

export const LimitedBy = exactly<said.LimitedBy>()(() => z.enum(LIMITED_BY).describe("What keeps a job from starting now."));

export const Eta = exactly<said.Eta>()(() =>
  z
    .object({
      p50: z.number().describe("Seconds. Half of such waits are over by then."),
      p95: z.number().describe("Seconds. 95 of 100 such waits are over by then."),
      limited_by: LimitedBy(),
    })
    .describe("Estimated time until the job starts, in seconds from now."),
);

export const Usage = exactly<said.Usage>()(() =>
  z
    .looseObject({ prompt_tokens: z.number(), completion_tokens: z.number(), total_tokens: z.number() })
    .describe("As counted by upstream. Any other fields it sends are passed on."),
);

/** An error's fields, except its status. */
const errorFields = () => ({
  type: z.string().describe("OpenAI's error type, e.g. invalid_request_error."),
  code: z.string().nullable().describe("For programs to match on, e.g. idempotency_key_conflict."),
  message: z.string().describe("For people to read."),
  param: z.string().nullable().describe("The field or parameter that caused the error, if there is one."),
  earliest_possible: z.number().exactOptional().describe("With deadline_unreachable: the earliest time the job could start, Unix seconds."),
  upstream_request_id: z
    .string()
    .exactOptional()
    .describe("The x-request-id that upstream gave the failed call. Its support will ask for it."),
});

export const Problem = exactly<problem.Problem>()(() =>
  z
    .object({ status: z.number().int().describe("HTTP status of upstream's refusal or of Sluice's own."), ...errorFields() })
    .describe("Why a job has no answer."),
);

export const ErrorBody = exactly<problem.ErrorBody>()(() =>
  z.object({ error: z.object(errorFields()) }).describe("OpenAI's error shape, used by every operation."),
);

export const LineError = once(() =>
  z
    .object({ ...ErrorBody().shape, line: z.number().int().describe("Line number in the body, counting from 1; blank lines count.") })
    .describe("Error for a JSONL line that was not accepted as a job."),
);

export const LastFailure = exactly<said.LastFailure>()(() =>
  z
    .object({
      attempt: z.number().int().describe("The call's number among all calls made for the job, as in its events."),
      counted: z
        .boolean()
        .describe("Whether the call counts towards `attempts`. A call that only met a limit, or that was never sent, does not."),
      status: z.number().int().describe("HTTP status of upstream's refusal, or Sluice's own if upstream sent none."),
      code: z.string().nullable(),
      message: z.string().nullable().describe("The beginning of upstream's message; null if it sent none that concerns this job."),
      times: z.number().int().describe("How many calls in a row, up to this one, ended with this status and code."),
      failed_at: unix("when the call failed."),
      retry_at: unixOrNull("earliest time of the next call; null while the job runs or is in line."),
    })
    .describe("The job's most recent failed call."),
);

const times = () => ({
  created_at: unix("when the job was accepted."),
  not_before: unixOrNull("the job is scheduled until then."),
  deadline: unixOrNull("the job expires then if it has not started."),
  started_at: unixOrNull("when the job's last call began."),
  ended_at: unixOrNull("when the job ended."),
});

export const Job = exactly<said.Job>()(() =>
  z.object({
    id: z.string().describe("Contains the channel, so that no lookup is needed to find the job."),
    object: z.literal("job"),
    status: JobStatus(),
    channel: z.string().nullable().describe("The channel that clients follow; null if the job was submitted without one."),
    model: z.string(),
    priority: z.number().describe("Head start over the tenant's other jobs, in seconds."),
    ...times(),
    attempts: z
      .number()
      .int()
      .describe("Upstream calls made, not counting those that only met a rate limit or a stopped pool, or that were never sent."),
    possible_duplicates: z.number().int().describe("Calls of unknown outcome that were repeated: each may have been billed twice."),
    position: z.number().int().nullable().describe("1 is next. Null once the job runs, and when the coordinator could not be reached."),
    eta: Eta().nullable(),
    usage: Usage().nullable(),
    response: z
      .unknown()
      .describe(
        "The chat completion as upstream sent it (plain, not streamed). Null until the job completes, and for a token without `read`.",
      ),
    error: Problem().nullable(),
    metadata: z.record(z.string(), z.string()).nullable(),
    last_failure: LastFailure()
      .exactOptional()
      .describe("Present if the job has not ended, one of its calls failed, and the coordinator could be reached."),
  }),
);

export const Token = once(() =>
  z
    .object({
      token: z.string().describe("Send it like a key: `Authorization: Bearer TOKEN`."),
      expires_at: z.number().int().describe("Unix seconds."),
    })
    .describe("A browser token."),
);

export const SubmittedJob = once(() =>
  z
    .object({ ...Job().shape, token: Token().exactOptional().describe("Present if the job asked for one.") })
    .describe("The job, as returned by a submit."),
);
