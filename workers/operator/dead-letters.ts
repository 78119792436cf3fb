/** `GET /v1/dead-letters`: jobs that failed, of every tenant. `POST /v1/dead-letters/redrive`: the same requests again, as new jobs. */
import { z } from "zod";
import { newNonce, parseJobId } from "../../platform/ids.ts";
import { callCoordinator, callMailbox } from "../../platform/objects.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { DeadLetter } from "../../schemas/rpc.ts";
import { readText } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { errorBody, invalid, json, noSuchJob, refuse } from "../ingress/respond.ts";

const PAGE_LIMIT = 100;
const PAGE_DEFAULT = 20;

const Redrive = z.strictObject({ jobs: z.array(z.string().min(1).max(640)).min(1).max(PAGE_LIMIT) });

/** Newest first. */
export async function listDeadLetters({ env, settings, url }: Context): Promise<Response> {
  const limit = Number(url.searchParams.get("limit") ?? PAGE_DEFAULT);
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_LIMIT)
    return refuse(invalid(`limit is a whole number from 1 to ${PAGE_LIMIT}.`, "limit"));
  const after = url.searchParams.get("after");
  const before = after === null ? null : Number(after);
  if (before !== null && !Number.isSafeInteger(before)) return refuse(invalid("after is the id of a dead letter.", "after"));
  const letters = await callCoordinator(env, settings.region, (stub) => stub.deadLetters(before, limit + 1));
  const data = letters.slice(0, limit).map(shown);
  return json({ object: "list", data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: letters.length > limit });
}

export async function redrive(context: Context): Promise<Response> {
  const text = await readText(context.request);
  if (!text.ok) return refuse(text.problem);
  const wish = parse(text.text);
  if (!wish) return refuse(invalid(`Send {"jobs":["job_…"]} with up to ${PAGE_LIMIT} of them.`, "jobs"));
  const data = await Promise.all(wish.jobs.map((id) => again(context, id)));
  return json({ object: "list", data }, 202);
}

/** The new job, or why there is none. */
async function again({ env, settings }: Context, id: string): Promise<object> {
  const letter = await callCoordinator(env, settings.region, (stub) => stub.deadLetterOf(id));
  const name = letter && parseJobId(letter.tenant, id);
  if (!name) return errorBody({ ...noSuchJob(id), message: `No dead letter of a job "${id.slice(0, 200)}".` } satisfies Problem);
  const address = { tenant: letter.tenant, channel: name.channel };
  const nonce = newNonce();
  const submitted = await callMailbox(env, address, (stub, repeated) => stub.redrive(id, nonce, repeated));
  if (!submitted) return errorBody(noSuchJob(id));
  if (!submitted.ok) return errorBody(submitted.problem);
  await callCoordinator(env, settings.region, (stub) => stub.strikeDeadLetter(id));
  return submitted.job;
}

function shown({ attempts, code, failed_at, id, job, message, pool, tenant }: DeadLetter) {
  return {
    id: String(id),
    object: "dead_letter",
    job,
    tenant,
    pool,
    attempts,
    error: { code, message },
    failed_at: Math.floor(failed_at / 1_000),
  };
}

function parse(text: string): z.infer<typeof Redrive> | null {
  try {
    return Redrive.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
