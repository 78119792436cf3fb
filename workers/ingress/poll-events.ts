/** A job's events by long-poll: what is already there, or the first that comes. */
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { Context } from "./context.ts";
import { type Follow, follow } from "./follow.ts";
import { readMailbox } from "./passes.ts";
import { patienceOf } from "./patience.ts";
import { json, noSuchJob, refuse } from "./respond.ts";

/** Events of one answer; `has_more` says that the next call has more at once. */
const PAGE_LIMIT = 1_000;

export async function pollEvents(
  env: Context["env"],
  wish: Omit<Follow, "signal">,
  seconds: number,
  request: Request,
  headers: Record<string, string>,
): Promise<Response> {
  const { address, job, after, deltas, grant } = wish;
  const stored = (since: number) => readMailbox({ env, grant }, address, (stub) => stub.events(job, since, deltas, PAGE_LIMIT));
  let logged = await stored(after);
  if (!logged) return refuse(noSuchJob(job));
  // A mailbox that still runs an older version, during a rollout, does not say.
  const from = logged.from ?? after;
  let over = false;
  const isEmpty = logged.events.length === 0;
  if (isEmpty) {
    const last = (await readMailbox({ env, grant }, address, (stub) => stub.events(job, 0, false, undefined)))?.events.at(-1);
    // It may have ended just now; then its last event is still to be sent.
    over = ended(last) && last.seq <= from;
  }
  if (isEmpty && !over && seconds > 0) {
    // Followed only until something comes, then read from the log, so that everything that came with it is in the answer too.
    if (await somethingComes(env, { ...wish, after: from }, seconds, request)) logged = await stored(from);
  }
  if (!logged) return refuse(noSuchJob(job));
  const { events: data, more } = logged;
  const last = data.at(-1);
  return json({ object: "list", data, has_more: more, last_seq: last?.seq ?? from, ended: over || ended(last) }, 200, headers);
}

async function somethingComes(env: Context["env"], wish: Omit<Follow, "signal">, seconds: number, request: Request): Promise<boolean> {
  const { signal, over } = patienceOf(request, seconds * 1_000);
  try {
    const { done } = await follow(env, { ...wish, signal }).next();
    return !done;
  } finally {
    over();
  }
}

function ended(last: JobEvent | undefined): last is JobEvent {
  return last !== undefined && isEnd(last.event);
}
