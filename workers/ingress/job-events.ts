/** `GET /v1/jobs/{id}/events`: what a socket is told of a job, as Server-Sent Events. */
import { parseJobId } from "../../platform/ids.ts";
import { mayUseJob } from "../../policy/grant.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { Context } from "./context.ts";
import { type Follow, follow } from "./follow.ts";
import { readMailbox } from "./passes.ts";
import { pollEvents } from "./poll-events.ts";
import { invalid, noSuchJob, refuse } from "./respond.ts";
import { SSE_HEADERS, sse } from "./sse.ts";
import { waitOf } from "./wait.ts";

/** Server-Sent Events; a list, by long-poll, for who names a time to wait or asks for JSON. */
export async function jobEvents(context: Context): Promise<Response> {
  const { env, grant, key, params, request, url } = context;
  const id = params.id ?? "";
  const name = parseJobId(key.tenant, id);
  const after = Number(request.headers.get("last-event-id") ?? url.searchParams.get("after") ?? 0);
  if (!Number.isSafeInteger(after) || after < 0) return refuse(invalid("Last-Event-ID is the seq of an event.", "Last-Event-ID"));
  const wait = waitOf(context);
  if (!wait.ok) return refuse(wait.problem);
  const address = name && mayUseJob(grant, id, name.channel) && { tenant: key.tenant, channel: name.channel };
  if (!address) return refuse(noSuchJob(id));
  const deltas = url.searchParams.get("deltas") !== "false";
  const wish = { address, job: id, after, deltas, grant };
  if (wait.seconds !== null || wantsJson(request)) return pollEvents(env, wish, wait.seconds ?? 0, request, wait.headers);
  return streamEvents(context, wish);
}

function wantsJson(request: Request): boolean {
  const accept = request.headers.get("accept") ?? "";
  return accept.includes("application/json") && !accept.includes("text/event-stream");
}

async function streamEvents({ background, env, grant, request }: Context, wish: Omit<Follow, "signal">): Promise<Response> {
  const { address, job: id, after } = wish;
  const job = await readMailbox({ env, grant }, address, (stub) => stub.get(id));
  if (!job) return refuse(noSuchJob(id));
  const reader = new AbortController();
  request.signal.addEventListener("abort", () => reader.abort());
  const over = isEnd(job.status);
  // Who names a seq that there is not, or that is the end's, would wait for ever. From the beginning for nobody else: where it is slow, deltas come as one.
  const from = (await goesOn(env, wish)) ? after : 0;
  const events = beyond(follow(env, { ...wish, after: from, signal: reader.signal }), after);
  // Of a job that has ended all is there. Who has it already is told so: an EventSource comes back for ever otherwise.
  const first = over ? (await events.next()).value : null;
  if (over && !first) return new Response(null, { status: 204 });
  const body = sse(
    async ({ event }) => {
      const tell = ({ data, event: name, seq }: JobEvent) => event({ event: name, id: String(seq), data: JSON.stringify(data) });
      if (first) await tell(first);
      for await (const each of events) await tell(each);
    },
    reader,
    background,
  );
  return new Response(body, { headers: SSE_HEADERS });
}

/** Whether a job has the event that its reader knows last, and more to come after it. */
async function goesOn(env: Context["env"], { address, after, grant, job }: Omit<Follow, "signal">): Promise<boolean> {
  if (after === 0) return true;
  const known = await readMailbox({ env, grant }, address, (stub) => stub.events(job, after - 1, true, 1));
  const last = known?.events[0];
  return last !== undefined && !isEnd(last.event);
}

async function* beyond(events: AsyncGenerator<JobEvent>, after: number): AsyncGenerator<JobEvent, undefined> {
  for await (const each of events) if (each.seq > after) yield each;
}
