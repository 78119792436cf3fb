/** Turns a call into a job: one that already waits for its caller, or a new one. */
import { parseJobId } from "../../platform/ids.ts";
import { callCoordinator } from "../../platform/objects.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { MailboxAddress, Share } from "../../schemas/rpc.ts";
import { accept } from "../ingress/accept.ts";
import { sha256 } from "../ingress/authenticate.ts";
import type { Context } from "../ingress/context.ts";
import { idempotencyKeyOf, submitAll } from "../ingress/submit-jobs.ts";
import type { Caller } from "./caller.ts";

/** Part of a call's identity, like its body, which a retry repeats: a job that was requested with other headers is not this caller's. */
const SAID_BY_HEADER = ["x-sluice-priority", "x-sluice-deadline", "x-sluice-on-disconnect"];

/**
 * `replayed`: the job is an older one, with the same body or the same Idempotency-Key. `share`: null if it is unknown, and for a token, which is told nothing
 * about the account's limits.
 */
export type Placed =
  | { ok: true; address: MailboxAddress; job: string; share: Share | null; replayed: boolean }
  | { ok: false; problem: Problem };

/** @param text - the body as it came: a retry sends the same characters. */
export async function submitCall(context: Context, caller: Caller, request: Record<string, unknown>, text: string): Promise<Placed> {
  const { grant, key, raised, request: http, settings } = context;
  const idempotency = idempotencyKeyOf(http);
  if (!idempotency.ok) return idempotency;
  const wishes = SAID_BY_HEADER.map((name) => http.headers.get(name));
  const body = await sha256(`${http.headers.get("authorization")}\n${JSON.stringify(wishes)}\n${text}`);
  const accepted = await accept(
    { request, ...caller.job },
    {
      ...{ key, grant, settings, raised, now: Date.now(), idempotencyKey: idempotency.key, spread: Number.parseInt(body.slice(0, 6), 16) },
      maybeKnown: caller.retried,
    },
  );
  if (!accepted.ok) return { ok: false, problem: asOfCall(accepted.problem) };
  const { address, submission } = accepted;
  submission.call = { body, retried: caller.retried, stream: request.stream === true, onDisconnect: caller.onDisconnect };
  const [submitted] = await submitAll(context, [accepted]);
  if (!submitted!.ok) return { ok: false, problem: asOfCall(submitted!.problem) };
  const { job, replayed } = submitted!;
  const found = { address: { ...address, channel: parseJobId(key.tenant, job.id)!.channel }, job: job.id };
  const share = grant ? null : (submitted!.share ?? (replayed ? await shareOf(context, submission.pool) : null));
  return { ok: true, ...found, share, replayed };
}

/** For an existing job, the coordinator has not been asked yet. If it cannot be, the answer goes without. */
function shareOf({ env, key, settings }: Context, pool: string): Promise<Share | null> {
  return callCoordinator(env, settings.region, (stub) => stub.share(key.tenant, pool)).catch(() => null);
}

/** Job fields that a call sets by header. */
const BY_HEADER = ["channel", "priority", "deadline"];

/** A call's body is what a job calls `request`. Faults in it get no code, because OpenAI's codes differ from field to field. */
function asOfCall(problem: Problem): Problem {
  const { code, param } = problem;
  if (param !== null && BY_HEADER.includes(param))
    return { ...problem, code: code === "invalid_job" ? "invalid_parameter" : code, param: `x-sluice-${param}` };
  const own = (text: string) => text.replace(/^request[.:] ?/, "");
  return {
    ...problem,
    code: code === "invalid_job" ? null : code,
    message: own(problem.message),
    param: param === null || param === "request" ? null : own(param),
  };
}
