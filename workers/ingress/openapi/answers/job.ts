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
  z.enum(STATUSES).describe("The last four are ends: a job that reached one never leaves it."),
);

export const LimitedBy = exactly<said.LimitedBy>()(() => z.enum(LIMITED_BY).describe("What keeps a job from starting now."));

export const Eta = exactly<said.Eta>()(() =>
  z
    .object({
      p50: z.number().describe("Seconds: half of such waits are over by then."),
      p95: z.number().describe("Seconds: 95 of 100 such waits are over by then."),
      limited_by: LimitedBy(),
    })
    .describe("When the job should start, in seconds from now."),
);

export const Usage = exactly<said.Usage>()(() =>
  z
    .looseObject({ prompt_tokens: z.number(), completion_tokens: z.number(), total_tokens: z.number() })
    .describe("As upstream counted; what more it says passes through."),
);

/** An error's fields, except its status. */
const errorFields = () => ({
  type: z.string().describe("OpenAI's type of error, e.g. invalid_request_error."),
  code: z.string().nullable().describe("For programs, e.g. idempotency_key_conflict."),
  message: z.string().describe("For people."),
  param: z.string().nullable().describe("The field or parameter at fault, if one is."),
  earliest_possible: z
    .number()
    .exactOptional()
    .describe("Of deadline_unreachable: when the job could start at the earliest, Unix seconds."),
  upstream_request_id: z.string().exactOptional().describe("Upstream's x-request-id of the call that ended so: what its support asks for."),
});

export const Problem = exactly<problem.Problem>()(() =>
  z
    .object({ status: z.number().int().describe("HTTP status of upstream's refusal, or of Sluice's own."), ...errorFields() })
    .describe("Why a job has no answer."),
);

export const ErrorBody = exactly<problem.ErrorBody>()(() =>
  z.object({ error: z.object(errorFields()) }).describe("OpenAI's error, of every door."),
);

export const LineError = once(() =>
  z
    .object({ ...ErrorBody().shape, line: z.number().int().describe("Of the body, from 1; blank lines count.") })
    .describe("Of a line of JSONL that became no job."),
);

export const LastFailure = exactly<said.LastFailure>()(() =>
  z
    .object({
      attempt: z.number().int().describe("Its number among all calls made for the job, as its events have it."),
      counted: z
        .boolean()
        .describe("Whether it is one of `attempts`: a call that was turned away for a limit, or that never left, is not."),
      status: z.number().int().describe("HTTP status of upstream's refusal, or Sluice's own where upstream said nothing."),
      code: z.string().nullable(),
      message: z.string().nullable().describe("The beginning of what upstream said; null if it said nothing that is for this job."),
      times: z.number().int().describe("So many calls in a row, this one the last, ended with this status and code."),
      failed_at: unix("when it did."),
      retry_at: unixOrNull("when the next may be made; null while the job runs or has its place in line."),
    })
    .describe("The last call of a job that came to nothing."),
);

const times = () => ({
  created_at: unix("when it was accepted."),
  not_before: unixOrNull("it is scheduled until then."),
  deadline: unixOrNull("it expires then, if it has not started."),
  started_at: unixOrNull("when its last call began."),
  ended_at: unixOrNull("when it ended."),
});

export const Job = exactly<said.Job>()(() =>
  z.object({
    id: z.string().describe("Contains the channel: nothing is looked up to find the job."),
    object: z.literal("job"),
    status: JobStatus(),
    channel: z.string().nullable().describe("What clients follow; null if it was sent without one."),
    model: z.string(),
    priority: z.number().describe("Seconds of head start over the tenant's other jobs."),
    ...times(),
    attempts: z.number().int().describe("Upstream calls, less those that only met a rate limit or a pool that stood still, or never left."),
    possible_duplicates: z.number().int().describe("Calls of unknown outcome that were made again: each may have been billed twice."),
    position: z.number().int().nullable().describe("1 is next; null once it runs, and when the coordinator could not be asked."),
    eta: Eta().nullable(),
    usage: Usage().nullable(),
    response: z.unknown().describe("The plain chat completion, as upstream gave it; null before, and to a token that may not read."),
    error: Problem().nullable(),
    metadata: z.record(z.string(), z.string()).nullable(),
    last_failure: LastFailure()
      .exactOptional()
      .describe("Of a job that has not ended, if a call of it came to nothing and the coordinator could be asked."),
  }),
);

export const Token = once(() =>
  z
    .object({ token: z.string().describe("To be sent as a key is."), expires_at: z.number().int().describe("Unix seconds.") })
    .describe("A browser token."),
);

export const SubmittedJob = once(() =>
  z
    .object({ ...Job().shape, token: Token().exactOptional().describe("If the submit asked for one.") })
    .describe("A job, as a submit answers it."),
);
