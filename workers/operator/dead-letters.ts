/** `GET /v1/dead-letters`: failed jobs of every tenant. `POST /v1/dead-letters/redrive`: submits their requests again, as new jobs. */
import { z } from "zod";
import { nonceOf, parseJobId } from "../../platform/ids.ts";
import { callCoordinator, callMailbox, isOverloaded } from "../../platform/objects.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { DeadLetter } from "../../schemas/queue.ts";
import { readAs } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { pagingOf } from "../ingress/query.ts";
import { errorBody, json, noSuchJob, page, refuse } from "../ingress/respond.ts";
import { unavailable } from "../ingress/submit-jobs.ts";

/** A dead letter's id is its row's number. */
const LIST = { standard: 20, most: 100, item: "dead letter", fits: (id: string) => /^[1-9]\d{0,14}$/.test(id) };

/** The body of a redrive. An id has at most 640 characters, channel included. */
export const Redrive = z.strictObject({ jobs: z.array(z.string().min(1).max(640)).min(1).max(100) });

/** Newest first. */
export async function listDeadLetters({ env, settings, url }: Context): Promise<Response> {
  const paging = pagingOf(url, LIST);
  if (!paging.ok) return refuse(paging.problem);
  const { after, limit } = paging;
  const before = after === null ? null : Number(after);
  const letters = await callCoordinator(env, settings.region, (stub) => stub.deadLetters(before, limit + 1));
  return json(page(letters.slice(0, limit).map(shown), letters.length > limit));
}

export async function redrive(context: Context): Promise<Response> {
  const wish = await readAs(context.request, Redrive);
  if (!wish.ok) return refuse(wish.problem);
  // A job that is named twice is submitted once: its second submission would spend for nothing.
  const answers = new Map<string, Promise<object>>();
  for (const id of wish.value.jobs) if (!answers.has(id)) answers.set(id, again(context, id).catch(failedAgain));
  const data = await Promise.all(wish.value.jobs.map((id) => answers.get(id)));
  return json({ object: "list", data }, 202);
}

/** The letter stays, so that the job can be redriven again. */
function failedAgain(error: unknown): object {
  return errorBody(unavailable(isOverloaded(error)).problem);
}

/** The new job, or why there is none. */
async function again({ env, settings }: Context, id: string): Promise<object> {
  const letter = await callCoordinator(env, settings.region, (stub) => stub.deadLetterOf(id));
  const name = letter && parseJobId(letter.tenant, id);
  if (!name) return errorBody({ ...noSuchJob(id), message: `There is no dead letter of the job "${id.slice(0, 200)}".` } satisfies Problem);
  const address = { tenant: letter.tenant, channel: name.channel };
  // Another request, or one whose answer was lost, may have redriven the job just now and not struck its letter yet: the same nonce finds the job that it made.
  const submitted = await callMailbox(env, address, (stub) => stub.redrive(id, nonceOf(id), true));
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
