/** From what a client sent to what a mailbox takes: checked, priced, addressed. */
import { newNonce } from "../../platform/ids.ts";
import { SPREAD, spreadChannel } from "../../platform/mailboxes.ts";
import type { Key, Settings } from "../../platform/settings.ts";
import { neverFits } from "../../policy/budget.ts";
import { reservedTokens } from "../../policy/estimate.ts";
import { channelMeant } from "../../policy/grant.ts";
import { matches, poolBudget, poolOf } from "../../policy/pools.ts";
import { JobInput } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { MailboxAddress, Submission } from "../../schemas/rpc.ts";
import type { Grant } from "../../schemas/token.ts";
import { sha256 } from "./authenticate.ts";
import { invalid, notThatChannel } from "./respond.ts";

/** Characters of one chat request: a message between objects holds 32 MiB, and two bytes a character. */
export const REQUEST_LIMIT = 12_000_000;

export type Accepted = { ok: true; address: MailboxAddress; submission: Submission } | { ok: false; problem: Problem };

export type Acceptance = {
  key: Key;
  /** Of a token; null for a key. */
  grant: Grant | null;
  settings: Settings;
  /** ms */
  now: number;
  /** The Idempotency-Key of this very job. */
  idempotencyKey: string | null;
  /** Which of the spread mailboxes takes jobs without a channel. */
  spread: number;
};

export async function accept(raw: unknown, context: Acceptance): Promise<Accepted> {
  const parsed = JobInput.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const param = issue?.path.join(".") || null;
    return refuse(invalid(param ? `${param}: ${issue?.message}` : (issue?.message ?? "The job is malformed."), param, "invalid_job"));
  }
  const input = parsed.data;
  const { grant, key, settings } = context;
  const meant = channelMeant(grant, input.channel ?? null);
  if (!meant.ok) return refuse(notThatChannel(meant.reason));
  const { model } = input.request;
  if ([key.models, grant?.models].some((allowed) => allowed && !allowed.some((pattern) => matches(pattern, model)))) {
    return refuse({
      status: 403,
      type: "permission_error",
      code: "model_not_allowed",
      message: `This ${grant ? "token" : "key"} may not use the model "${model}".`,
      param: "request.model",
    });
  }
  const pool = poolOf(settings.pools, model);
  if (pool === null) return refuse(invalid(`No pool takes the model "${model}".`, "request.model", "model_not_found", 404));
  const request = JSON.stringify(input.request);
  if (request.length > REQUEST_LIMIT) return refuse(invalid("The request is too large.", "request", "request_too_large", 413));
  const config = settings.pools[pool]!;
  const tokens = reservedTokens(input.request, config.default_output_tokens);
  const problem = beyondBudget(settings, pool, tokens) ?? badTimes(input, context.now);
  if (problem) return refuse(problem);
  const idempotency =
    context.idempotencyKey === null ? null : { key: context.idempotencyKey, fingerprint: await sha256(JSON.stringify(input)) };
  const spread = idempotency ? Number.parseInt((await sha256(idempotency.key)).slice(0, 6), 16) : context.spread;
  return {
    ok: true,
    address: { tenant: key.tenant, channel: meant.channel ?? spreadChannel(spread % SPREAD) },
    submission: {
      nonce: newNonce(),
      request,
      model,
      pool,
      tokens,
      priority: input.priority ?? 0,
      notBefore: toMs(input.not_before),
      deadline: toMs(input.deadline),
      deadlinePolicy: input.deadline_policy ?? "strict",
      metadata: input.metadata ?? null,
      retry: input.retry ?? "safe",
      idempotency,
    },
  };
}

/** A reservation that no full bucket could hold would wait for ever. */
function beyondBudget(settings: Settings, pool: string, tokens: number): Problem | null {
  const config = settings.pools[pool]!;
  const meter = neverFits(poolBudget(config), tokens);
  if (!meter) return null;
  const message = `This request reserves ${tokens} tokens; the pool "${pool}" never holds more than ${Math.floor(meter.whole)} (${meter.resource.toUpperCase()}).`;
  return invalid(message, "request", "reservation_exceeds_budget");
}

function badTimes(input: JobInput, now: number): Problem | null {
  const { not_before, deadline } = input;
  if (deadline == null) return null;
  if (deadline * 1_000 <= now) return invalid("The deadline has passed.", "deadline", "deadline_passed");
  if (not_before != null && not_before >= deadline)
    return invalid("not_before lies after the deadline.", "not_before", "deadline_unreachable");
  return null;
}

function toMs(seconds: number | null | undefined): number | null {
  return seconds == null ? null : Math.round(seconds * 1_000);
}

function refuse(problem: Problem): Accepted {
  return { ok: false, problem };
}
