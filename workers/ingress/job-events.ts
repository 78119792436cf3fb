/** `GET /v1/jobs/{id}/events`: what a socket is told about a job, as Server-Sent Events. */
import { parseJobId } from "../../platform/ids.ts";
import { mayUseJob } from "../../policy/grant.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { Context } from "./context.ts";
import { type Follow, follow } from "./follow.ts";
import { readMailbox } from "./passes.ts";
import { pollEvents } from "./poll-events.ts";
import { wholeNumber } from "./query.ts";
import { badParameter, noSuchJob, refuse } from "./respond.ts";
import { SSE_HEADERS, sse } from "./sse.ts";
import { waitOf } from "./wait.ts";

/** Server-Sent Events, or a long-polled list if the client names a time to wait or asks for JSON. */
export async function jobEvents(context: Context): Promise<Response> {
  const { env, grant, key, params, request, url } = context;
  const id = params.id ?? "";
  const name = parseJobId(key.tenant, id);
  const last = request.headers.get("last-event-id");
  const after = wholeNumber((last ?? url.searchParams.get("after")) || "0");
  const said = last === null ? "after" : "Last-Event-ID";
  if (after === null) return refuse(badParameter(`${said} must be the seq of an event: a whole number, 0 or more.`, said));
  const wait = waitOf(context);
  if (!wait.ok) return refuse(wait.problem);
  const deltas = url.searchParams.get("deltas") ?? "true";
  if (!["true", "false"].includes(deltas)) return refuse(badParameter("deltas must be true or false.", "deltas"));
  const address = name && mayUseJob(grant, id, name.channel) && { tenant: key.tenant, channel: name.channel };
  if (!address) return refuse(noSuchJob(id));
  const wish = { address, job: id, after, deltas: deltas === "true", grant };
  if (wait.seconds !== null || wantsJson(request)) return pollEvents(env, wish, wait.seconds ?? 0, request, wait.headers);
  return streamEvents(context, wish);
}

function wantsJson(request: Request): boolean {
  const accept = request.headers.get("accept") ?? "";
  return accept.includes("application/json") && !accept.includes("text/event-stream");
}

async function streamEvents({ background, env, grant, request }: Context, wish: Omit<Follow, "signal">): Promise<Response> {
  const { address, job: id } = wish;
  const job = await readMailbox({ env, grant }, address, (stub) => stub.get(id));
  if (!job) return refuse(noSuchJob(id));
  const reader = new AbortController();
  request.signal.addEventListener("abort", () => reader.abort());
  const over = isEnd(job.status);
  const events = follow(env, { ...wish, signal: reader.signal });
  // If the job has ended, its events are all there. A client that already has them gets a 204; otherwise an EventSource would reconnect for ever.
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
