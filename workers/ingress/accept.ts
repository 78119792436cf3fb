/** Turns what a client sent into what a mailbox takes: checked, priced and addressed. */
import { newNonce } from "../../platform/ids.ts";
import { SPREAD, spreadChannel } from "../../platform/mailboxes.ts";
import type { RaisedLimits } from "../../platform/raised.ts";
import type { Key, Settings } from "../../platform/settings.ts";
import { type Priced, price } from "../../policy/admission.ts";
import { channelMeant } from "../../policy/grant.ts";
import { JobInput } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { CallTimeouts, MailboxAddress, Submission } from "../../schemas/rpc.ts";
import type { Grant, JobToken } from "../../schemas/token.ts";
import { sha256 } from "./authenticate.ts";
import { checked } from "./body.ts";
import { objectionTo } from "./job-token.ts";
import { passOf } from "./passes.ts";
import { invalid, notByToken, notThatChannel } from "./respond.ts";
import { webhookOf } from "./webhook.ts";

/** `token`: the browser token that the answer should carry. */
export type Accepted =
  | { ok: true; address: MailboxAddress; submission: Submission; token: JobToken | null }
  | { ok: false; problem: Problem };

export type Acceptance = {
  key: Key;
  /** Set if a token was used; null for a key. */
  grant: Grant | null;
  settings: Settings;
  raised: RaisedLimits;
  /** ms */
  now: number;
  /** The Idempotency-Key of this job. */
  idempotencyKey: string | null;
  /** The request may repeat an earlier job, as with an Idempotency-Key; only the mailbox can tell whether that job exists. */
  maybeKnown?: boolean;
  /** Picks the spread mailbox for jobs without a channel. */
  spread: number;
};

/** For a request that can no longer be priced: the mailbox can only answer it with the job that already exists. */
const UNPRICED: Priced = { ok: true, request: "", model: "", pool: "", tokens: 0 };

export async function accept(raw: unknown, context: Acceptance): Promise<Accepted> {
  const parsed = checked(JobInput, raw, "invalid_job");
  if (!parsed.ok) return parsed;
  const input = parsed.value;
  const { grant, key, settings } = context;
  const meant = channelMeant(grant, input.channel ?? null);
  if (!meant.ok) return refuse(notThatChannel(meant.reason));
  const name = context.idempotencyKey;
  const allowed = [key.models, grant?.models ?? null];
  const asked = await context.raised.allowing((raised) => price(input.request, settings.pools, allowed, raised));
  const problem = asked.ok ? badTimes(input, context.now) : asked.problem;
  if (problem && name === null && !context.maybeKnown) return refuse(problem);
  const priced = asked.ok ? asked : UNPRICED;
  const webhook = webhookOf(input, key, settings);
  if (!webhook.ok) return refuse(webhook.problem);
  const token = input.token === true ? {} : (input.token ?? null);
  const objected = token && objectionTo(token, context);
  if (objected) return refuse(objected);
  if (grant && webhook.url !== null) return refuse(notByToken("set a webhook", "webhook"));
  if (grant && (input.priority ?? 0) > 0) return refuse(notByToken("set a priority above 0", "priority"));
  const idempotency =
    name === null ? null : { key: grant ? keyInChannel(meant.channel, name) : name, fingerprint: await sha256(JSON.stringify(input)) };
  const spread = idempotency ? Number.parseInt((await sha256(idempotency.key)).slice(0, 6), 16) : context.spread;
  return {
    ok: true,
    token,
    address: { tenant: key.tenant, channel: meant.channel ?? spreadChannel(spread % SPREAD) },
    submission: {
      nonce: newNonce(),
      request: priced.request,
      model: priced.model,
      pool: priced.pool,
      tokens: priced.tokens,
      priority: input.priority ?? 0,
      notBefore: toMs(input.not_before),
      deadline: toMs(input.deadline),
      deadlinePolicy: input.deadline_policy ?? "strict",
      metadata: input.metadata ?? null,
      retry: input.retry ?? "safe",
      idempotency,
      ...(priced.prompt !== undefined && { prompt: priced.prompt }),
      ...(priced.open && { open: priced.open }),
      ...(input.timeouts?.queue != null && { queueMs: input.timeouts.queue * 1_000 }),
      ...callTimeoutsOf(input),
      ...(webhook.url !== null && { webhook: webhook.url }),
      ...(grant && { pass: passOf(grant) }),
      ...(problem && { refusal: problem }),
    },
  };
}

/**
 * An Idempotency-Key that comes with a token belongs to its channel, for every token of that channel, so that a page may retry with its next one. It uses
 * up none of the tenant's keys, which can be guessed. The separator is a line break, which no header can contain.
 */
function keyInChannel(channel: string | null, key: string): string {
  return `${channel}\n${key}`;
}

function badTimes(input: JobInput, now: number): Problem | null {
  const { deadline, not_before } = input;
  if (deadline == null) return null;
  if (deadline * 1_000 <= now) return invalid("The deadline has passed.", "deadline", "deadline_passed");
  // Not even `best_effort` could meet it.
  if (not_before == null || not_before < deadline) return null;
  return { ...invalid("not_before must be before the deadline.", "deadline", "deadline_unreachable"), earliest_possible: not_before };
}

function callTimeoutsOf({ timeouts }: JobInput): { timeouts?: CallTimeouts } {
  const { first_byte, idle, total } = timeouts ?? {};
  if (first_byte == null && idle == null && total == null) return {};
  return { timeouts: { ...(first_byte != null && { first_byte }), ...(idle != null && { idle }), ...(total != null && { total }) } };
}

function toMs(seconds: number | null | undefined): number | null {
  return seconds == null ? null : Math.round(seconds * 1_000);
}

function refuse(problem: Problem): Accepted {
  return { ok: false, problem };
}
