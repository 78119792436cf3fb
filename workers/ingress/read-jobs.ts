/** `GET /v1/jobs`, `GET /v1/jobs/{id}`, `POST /v1/jobs/{id}/cancel`. */
import { parseBatchId } from "../../platform/file-ids.ts";
import { type JobName, parseJobId } from "../../platform/ids.ts";
import { batchChannel } from "../../platform/mailboxes.ts";
import { callCoordinator, callMailbox } from "../../platform/objects.ts";
import { channelMeant, mayUseJob, shown } from "../../policy/grant.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import { type Job, type JobStatus, STATUSES } from "../../schemas/job.ts";
import type { ListQuery, MailboxAddress } from "../../schemas/rpc.ts";
import { BAD_CHANNEL, canBeNamed } from "./channel.ts";
import type { Context } from "./context.ts";
import { follow } from "./follow.ts";
import { mustStand, readMailbox } from "./passes.ts";
import { patienceOf } from "./patience.ts";
import { pagingOf } from "./query.ts";
import { badParameter, invalid, json, noSuchBatch, noSuchJob, notThatChannel, page, refuse } from "./respond.ts";
import { waitOf } from "./wait.ts";

const PAGE = { standard: 20, most: 100, item: "job" };
/** A list over all channels asks each of them; with more than this, the client must name one. */
const CHANNELS_LIMIT = 200;
/**
 * Characters of the answers on a page, plus one job per channel. They are in memory several times, while they arrive and while they are written. An RPC
 * message holds 32 MiB, a character may take two bytes of it, and the one job may have 10 million.
 */
const PAGE_CHARACTERS = 5_000_000;

export async function getJob(context: Context): Promise<Response> {
  const { grant, key, params } = context;
  const name = parseJobId(key.tenant, params.id ?? "");
  if (!name || !mayUseJob(grant, params.id!, name.channel)) return refuse(noSuchJob(params.id ?? ""));
  const wait = waitOf(context);
  if (!wait.ok) return refuse(wait.problem);
  const address = { tenant: key.tenant, channel: name.channel };
  const job = await readMailbox(context, address, (stub) => stub.get(params.id!));
  if (!job) return refuse(noSuchJob(params.id!));
  const current = isEnd(job.status) || !wait.seconds ? job : await waitForEnd(context, address, job.id, wait.seconds);
  return json(shown(grant, key.roles, current), isEnd(current.status) ? 200 : 202, wait.headers);
}

/** The job once it has ended, or as it stands when the time is up. The mailbox may sleep meanwhile; a call held open would keep it awake. */
async function waitForEnd({ env, grant, request }: Context, address: MailboxAddress, id: string, seconds: number): Promise<Job> {
  const { signal, over } = patienceOf(request, seconds * 1_000);
  try {
    for await (const { event, data } of follow(env, { address, job: id, after: 0, deltas: false, grant, signal })) {
      if (isEnd(event)) return data as Job;
    }
  } finally {
    over();
  }
  return (await callMailbox(env, address, (stub) => stub.get(id)))!;
}

export async function cancelJob(context: Context): Promise<Response> {
  const { env, grant, key, params } = context;
  const parsed = parseJobId(key.tenant, params.id ?? "");
  const name = parsed && mayUseJob(grant, params.id!, parsed.channel) ? parsed : null;
  const address = name && { tenant: key.tenant, channel: name.channel };
  if (address) await mustStand(context, address);
  const job = address && (await callMailbox(env, address, (stub) => stub.cancel(params.id!)));
  return job ? json(shown(grant, key.roles, job)) : refuse(noSuchJob(params.id ?? ""));
}

export async function listJobs(context: Context): Promise<Response> {
  const { env, grant, key, settings, url } = context;
  const paging = pagingOf(url, { ...PAGE, fits: (id) => parseJobId(key.tenant, id) !== null });
  if (!paging.ok) return refuse(paging.problem);
  const { after, limit } = paging;
  const cursor = after === null ? null : parseJobId(key.tenant, after);
  const status = url.searchParams.get("status");
  if (status !== null && !(STATUSES as readonly string[]).includes(status))
    return refuse(badParameter(`status must be one of ${STATUSES.join(", ")}.`, "status"));
  const meant = channelMeant(grant, url.searchParams.get("channel"));
  if (!meant.ok) return refuse(notThatChannel(meant.reason));
  if (meant.channel !== null && !canBeNamed(meant.channel)) return refuse(badParameter(BAD_CHANNEL, "channel"));
  const batch = url.searchParams.get("batch");
  const inside = batch === null || grant ? null : parseBatchId(key.tenant, batch);
  if (batch !== null && inside === null) return refuse({ ...noSuchBatch(batch), code: "batch_not_found", param: "batch" });
  const named = inside === null ? meant.channel : batchChannel(inside);
  const channels =
    named === null ? await callCoordinator(env, settings.region, (stub) => stub.channels(key.tenant, CHANNELS_LIMIT + 1)) : [named];
  if (channels.length > CHANNELS_LIMIT)
    return refuse(invalid(`This tenant has more than ${CHANNELS_LIMIT} channels: name one with ?channel=.`, "channel", "channel_required"));
  const room = Math.floor(PAGE_CHARACTERS / Math.max(1, channels.length));
  const pages = await Promise.all(
    channels.map(async (channel) => {
      const query: ListQuery = { status: status as JobStatus | null, before: boundOf(channel, cursor), limit: limit + 1, room };
      const { cut, jobs } = await readMailbox(context, { tenant: key.tenant, channel }, (stub) => stub.list(query));
      return { cut, jobs: jobs.map((job) => ({ job, name: parseJobId(key.tenant, job.id)! })) };
    }),
  );
  const known = merged(pages);
  return json(
    page(
      known.slice(0, limit).map(({ job }) => shown(grant, key.roles, job)),
      known.length > limit || pages.some(({ cut }) => cut),
    ),
  );
}

type Named = { job: Job; name: JobName };

/** Newest first, cut where a channel's page was cut: that channel's next job comes before anything older than its last one here. */
function merged(pages: { cut: boolean; jobs: Named[] }[]): Named[] {
  const all = pages.flatMap(({ jobs }) => jobs).sort((a, b) => newestFirst(a.name, b.name));
  const lasts = pages.flatMap(({ cut, jobs }) => (cut ? jobs.at(-1)! : []));
  return all.slice(
    0,
    lasts.reduce((least, last) => Math.min(least, all.indexOf(last) + 1), all.length),
  );
}

/** Jobs of all mailboxes are ordered by time, then channel, then number; this is where the cursor falls in one mailbox. */
function boundOf(channel: string, cursor: JobName | null): ListQuery["before"] {
  if (!cursor) return null;
  if (channel === cursor.channel) return { at: cursor.at, number: cursor.number };
  return { at: cursor.at, number: channel > cursor.channel ? Number.MAX_SAFE_INTEGER : 0 };
}

function newestFirst(a: JobName, b: JobName): number {
  if (a.at !== b.at) return b.at - a.at;
  if (a.channel !== b.channel) return a.channel < b.channel ? -1 : 1;
  return b.number - a.number;
}
