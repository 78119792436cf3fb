/** What clients send: the same schemas that the doors check with, and what each field is for. */
import type { z } from "zod";
import { BatchInput } from "../../../schemas/batch.ts";
import { ChatRequest, JobInput, Timeouts } from "../../../schemas/job.ts";
import { JobToken, RevokeInput, TokenInput } from "../../../schemas/token.ts";
import { Redrive } from "../../operator/dead-letters.ts";
import { Wish as Lever } from "../../operator/queue.ts";
import { Wish as Simulated } from "../../operator/simulate.ts";
import { PoolWish, TenantWish } from "../../operator/tune.ts";

type Fields<S extends z.ZodObject> = Record<keyof S["shape"] & string, string>;

export type Body = { schema: z.ZodObject; text: string; fields: Record<string, string> };

/** Every field must be described: a new one does not compile without. */
function body<S extends z.ZodObject>(schema: S, text: string, fields: Fields<S>): Body {
  return { schema, text, fields };
}

export const bodies = () => ({ ...ofJobs(), ...ofTokens(), ...ofOperators() });

function ofJobs() {
  return {
    JobInput: body(JobInput, "A job to be submitted.", {
      request: "The chat completion body: passed to upstream untouched but for `stream` and `stream_options`.",
      channel: "What clients follow: a user, a conversation, a pipeline. Well-formed Unicode that does not begin with `~`.",
      priority: "A head start in seconds over jobs of the same tenant.",
      not_before: "Unix seconds: the job is scheduled until then.",
      deadline: "Unix seconds: a job that has not started by then is expired.",
      deadline_policy: "Of a deadline that is out of reach: `strict` (default) refuses the job, `best_effort` accepts it.",
      timeouts: "Bounds of its wait and of its calls.",
      metadata: "Up to 16 pairs of texts.",
      retry: "Of a call whose outcome is unknown: `safe` (default) calls again unless part of the answer was delivered.",
      cache: "No job is given another's answer: to say so is to agree.",
      webhook: "A URL that is told of the job's end: https, with a public name.",
      token: "A browser token for this job alone is to come with the answer.",
    }),
    ChatRequest: body(ChatRequest, "OpenAI's chat completion body. What is not named here passes through untouched.", {
      model: "A model of one of the pools.",
      messages: "Up to 500 levels deep, as the whole request.",
      n: "Choices.",
      max_tokens: "As `max_completion_tokens`, its older name.",
      max_completion_tokens:
        "Output tokens that are reserved for each choice; without it, what answers of this kind have used, or the pool's default.",
    }),
    Timeouts: body(Timeouts, "Seconds. What is missing is as the deployment has it.", {
      queue: "How long the job may wait from when it could start.",
      first_byte: "Of each upstream call, to its response headers.",
      idle: "Of each upstream call, while nothing comes of its stream.",
      total: "Of each upstream call, whole.",
    }),
    BatchInput: body(BatchInput, "A batch to be begun. Other fields are ignored.", {
      input_file_id: "A file that was uploaded with the purpose `batch`.",
      endpoint: "Chat completions alone.",
      completion_window: "Hours or days, a week at most: the jobs' deadline.",
      metadata: "Up to 16 pairs of texts.",
      webhook: "A URL that is told of the batch's end.",
    }),
  };
}

function ofTokens() {
  return {
    JobToken: body(JobToken, "A browser token for one job.", {
      actions: "`read` unless given.",
      expires_in: "Seconds, 900 unless given.",
    }),
    TokenInput: body(TokenInput, "A browser token to be made. It names channels or jobs.", {
      channels: "It holds for all jobs of these.",
      jobs: "It holds for these jobs.",
      actions: "What may be done with it; no more than the key may.",
      models: "Patterns as in SLUICE_KEYS; null is any.",
      max_jobs: "Jobs that may be submitted with it, if it submits to one channel; null is any number.",
      expires_in: "Seconds.",
    }),
    RevokeInput: body(RevokeInput, "A token to be taken back.", { token: "Of the same tenant." }),
  };
}

function ofOperators() {
  return {
    Lever: body(Lever, "What is meant: a pool or a tenant, and without either everything.", {
      pool: "Its name.",
      tenant: "Its name.",
    }),
    PoolTuning: body(PoolWish, "What is to be set over what is configured. Null is no limit.", {
      rpm: "Requests a minute.",
      tpm: "Tokens a minute.",
      rpd: "Requests a day.",
      tpd: "Tokens a day.",
      concurrency: "Calls at once.",
      burst_seconds: "How much of a rate may be spent at once, in seconds of it; null: it is learned.",
      reset: "First, all that was set before of this pool is as configured again.",
    }),
    TenantTuning: body(TenantWish, "What is to be set over what is configured. Null is no limit.", {
      weight: "Its share beside other tenants'.",
      rpm: "Requests a minute, over all pools.",
      tpm: "Tokens a minute, over all pools.",
      max_queued: "Jobs that may wait.",
      reset: "First, all that was set before of this tenant is as configured again.",
    }),
    SimulationInput: body(Simulated, "What is to be tried. What is left out is as it is.", {
      pools: "Limits by the pool's name, as they are set.",
      tenants: "Weights and limits by the tenant's name, as they are set.",
    }),
    Redrive: body(Redrive, "Failed jobs whose requests are to be submitted again.", { jobs: "Their ids." }),
  };
}
