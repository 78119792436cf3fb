/** `GET /v1/jobs/{id}/events`: what a socket is told of a job, as Server-Sent Events. */
import { parseJobId } from "../../platform/ids.ts";
import { callMailbox } from "../../platform/objects.ts";
import { mayUseJob } from "../../policy/grant.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { Context } from "./context.ts";
import { follow } from "./follow.ts";
import { invalid, noSuchJob, refuse } from "./respond.ts";
import { SSE_HEADERS, sse } from "./sse.ts";

export async function jobEvents({ background, env, grant, key, params, request, url }: Context): Promise<Response> {
  const id = params.id ?? "";
  const name = parseJobId(key.tenant, id);
  const after = Number(request.headers.get("last-event-id") ?? url.searchParams.get("after") ?? 0);
  if (!Number.isSafeInteger(after) || after < 0) return refuse(invalid("Last-Event-ID is the seq of an event.", "Last-Event-ID"));
  const address = name && mayUseJob(grant, id, name.channel) && { tenant: key.tenant, channel: name.channel };
  const job = address && (await callMailbox(env, address, (stub) => stub.get(id, 0)));
  if (!job) return refuse(noSuchJob(id));
  const deltas = url.searchParams.get("deltas") !== "false";
  const reader = new AbortController();
  request.signal.addEventListener("abort", () => reader.abort());
  const over = isEnd(job.status);
  const events = follow(env, { address, job: id, after: over ? 0 : after, deltas, signal: reader.signal });
  // Of a job that has ended all is there. Who has it already is told so: an EventSource comes back for ever otherwise.
  const first = over ? await beyond(events, after) : null;
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

/** The first event after a seq; null if there is none. */
async function beyond(events: AsyncGenerator<JobEvent>, after: number): Promise<JobEvent | null> {
  for (;;) {
    const { done, value } = await events.next();
    if (done) return null;
    if (value.seq > after) return value;
  }
}
