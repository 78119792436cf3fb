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
    JobInput: body(JobInput, "A job to submit.", {
      request: "The chat completion body. Passed to upstream unchanged except for `stream` and `stream_options`.",
      channel: "What clients follow: a user, a conversation, a pipeline. Must be well-formed Unicode and must not begin with `~`.",
      priority: "Head start in seconds over the same tenant's other jobs.",
      not_before: "Unix seconds. The job is `scheduled` until then.",
      deadline: "Unix seconds. A job that has not started by then is `expired`.",
      deadline_policy: "What to do if the deadline cannot be met: `strict` (default) refuses the job, `best_effort` accepts it.",
      timeouts: "Limits on the job's wait and on its upstream calls.",
      metadata: "Up to 16 key-value pairs of strings.",
      retry:
        "What to do after a call of unknown outcome: `safe` (default) calls again unless part of the answer was delivered, `always` calls again, `never` fails the job.",
      cache: "Only `false`, the default: answers are never reused for other jobs.",
      webhook: "URL to notify when the job ends: https, with a public host.",
      token: "Asks for a browser token for this job only, returned with the job.",
    }),
    ChatRequest: body(ChatRequest, "OpenAI's chat completion body. Fields not listed here are passed on unchanged.", {
      model: "A model that one of the pools serves.",
      messages: "The conversation. The whole request may be nested at most 500 levels deep.",
      n: "Number of choices.",
      max_tokens: "Older name of `max_completion_tokens`.",
      max_completion_tokens:
        "Output tokens to reserve for each choice. Without it, the reservation follows what the tenant's recent answers from this model used, or the pool's default.",
    }),
    Timeouts: body(Timeouts, "In seconds. Missing values are the deployment's.", {
      queue: "How long the job may wait, counted from when it could first start. It expires after that.",
      first_byte: "For each upstream call: time until its response headers arrive.",
      idle: "For each upstream call: longest silence on its stream.",
      total: "For each upstream call: its total time.",
    }),
    BatchInput: body(BatchInput, "A batch to create. Other fields are ignored.", {
      input_file_id: "The id of a file uploaded with the purpose `batch`.",
      endpoint: "Only chat completions are supported.",
      completion_window: "Hours or days, such as `24h` or `7d`; at most a week. Sets the jobs' deadline.",
      metadata: "Up to 16 key-value pairs of strings.",
      webhook: "URL to notify when the batch ends.",
    }),
  };
}

function ofTokens() {
  return {
    JobToken: body(JobToken, "A browser token for one job.", {
      actions: "Default: `read`.",
      expires_in: "Seconds until the token expires. Default: 900.",
    }),
    TokenInput: body(TokenInput, "A browser token to create. It must name at least one channel or job.", {
      channels: "Channels whose jobs the token may use, all of them.",
      jobs: "Single jobs that the token may use.",
      actions: "What the token may do. The key itself must be allowed to do it.",
      models: "Models it may use: patterns as in SLUICE_KEYS. Null means any.",
      max_jobs: "How many jobs it may submit; only for a token with a single channel. Null means no limit.",
      expires_in: "Seconds until the token expires.",
    }),
    RevokeInput: body(RevokeInput, "A token to revoke.", { token: "A browser token of the same tenant." }),
  };
}

function ofOperators() {
  return {
    Lever: body(Lever, "What to act on: a pool or a tenant. Without either, everything.", {
      pool: "The pool's name.",
      tenant: "The tenant's name.",
    }),
    PoolTuning: body(PoolWish, "Values that override the configuration. Where null is allowed, it means no limit.", {
      rpm: "Requests per minute.",
      tpm: "Tokens per minute.",
      rpd: "Requests per day.",
      tpd: "Tokens per day.",
      concurrency: "Concurrent calls.",
      burst_seconds: "How much of a rate may be spent at once, in seconds of that rate. Null means that it is learned.",
      reset: "Drops all earlier overrides of this pool before applying the new ones.",
    }),
    TenantTuning: body(TenantWish, "Values that override the configuration. Where null is allowed, it means no limit.", {
      weight: "The tenant's share relative to other tenants.",
      rpm: "Requests per minute, over all pools.",
      tpm: "Tokens per minute, over all pools.",
      max_queued: "How many jobs may wait.",
      reset: "Drops all earlier overrides of this tenant before applying the new ones.",
    }),
    SimulationInput: body(Simulated, "Settings to try out. Anything left out keeps its current value.", {
      pools: "Limits by pool name, with the fields of `PoolTuning` except `reset`.",
      tenants: "Weights and limits by tenant name, with the fields of `TenantTuning` except `max_queued` and `reset`.",
    }),
    Redrive: body(Redrive, "Failed jobs whose requests to submit again.", { jobs: "The ids of the failed jobs." }),
  };
}
