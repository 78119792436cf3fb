/** From what a client sent to what a mailbox takes: checked, priced, addressed. */
import { newNonce } from "../../platform/ids.ts";
import { SPREAD, spreadChannel } from "../../platform/mailboxes.ts";
import type { Key, Settings } from "../../platform/settings.ts";
import { type Priced, price } from "../../policy/admission.ts";
import { channelMeant } from "../../policy/grant.ts";
import { JobInput } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { CallTimeouts, MailboxAddress, Submission } from "../../schemas/rpc.ts";
import type { Grant, JobToken } from "../../schemas/token.ts";
import { sha256 } from "./authenticate.ts";
import { objectionTo } from "./job-token.ts";
import { passOf } from "./passes.ts";
import { invalid, malformed, notByToken, notThatChannel } from "./respond.ts";
import { webhookOf } from "./webhook.ts";

/** `token`: the token that is to come with the answer. */
export type Accepted =
  | { ok: true; address: MailboxAddress; submission: Submission; token: JobToken | null }
  | { ok: false; problem: Problem };

export type Acceptance = {
  key: Key;
  /** Of a token; null for a key. */
  grant: Grant | null;
  settings: Settings;
  /** ms */
  now: number;
  /** The Idempotency-Key of this very job. */
  idempotencyKey: string | null;
  /** Perhaps a job of before is meant, as where there is an Idempotency-Key: whether it is there, the mailbox sees. */
  maybeKnown?: boolean;
  /** Which of the spread mailboxes takes jobs without a channel. */
  spread: number;
};

/** Of what has no price any more, a mailbox can but give the job that there is. */
const UNPRICED: Priced = { ok: true, request: "", model: "", pool: "", tokens: 0 };

export async function accept(raw: unknown, context: Acceptance): Promise<Accepted> {
  const parsed = JobInput.safeParse(raw);
  if (!parsed.success) return refuse(malformed(parsed.error, "invalid_job"));
  const input = parsed.data;
  const { grant, key, settings } = context;
  const meant = channelMeant(grant, input.channel ?? null);
  if (!meant.ok) return refuse(notThatChannel(meant.reason));
  const name = context.idempotencyKey;
  const asked = price(input.request, settings.pools, [key.models, grant?.models ?? null]);
  const problem = asked.ok ? badTimes(input, context.now) : asked.problem;
  if (problem && name === null && !context.maybeKnown) return refuse(problem);
  const priced = asked.ok ? asked : UNPRICED;
  const webhook = webhookOf(input, key, settings);
  if (!webhook.ok) return refuse(webhook.problem);
  const token = input.token === true ? {} : (input.token ?? null);
  const objected = token && objectionTo(token, context);
  if (objected) return refuse(objected);
  if (grant && webhook.url !== null) return refuse(notByToken("name a webhook", "webhook"));
  if (grant && (input.priority ?? 0) > 0) return refuse(notByToken("go before its tenant's other jobs", "priority"));
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
 * An Idempotency-Key that comes with a token: good in its channel, for every token of it, so that a page may try again with its next one. It uses up none
 * of the tenant's, whose names can be guessed; a line break, which no header holds, keeps the two apart.
 */
function keyInChannel(channel: string | null, key: string): string {
  return `${channel}\n${key}`;
}

function badTimes(input: JobInput, now: number): Problem | null {
  const { deadline, not_before } = input;
  if (deadline == null) return null;
  if (deadline * 1_000 <= now) return invalid("The deadline has passed.", "deadline", "deadline_passed");
  // No effort is good enough for it.
  if (not_before == null || not_before < deadline) return null;
  return { ...invalid("not_before does not lie before the deadline.", "deadline", "deadline_unreachable"), earliest_possible: not_before };
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
