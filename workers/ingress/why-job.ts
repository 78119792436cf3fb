/** `GET /v1/jobs/{id}/why`: why a job waits, in words and numbers. */
import { parseJobId } from "../../platform/ids.ts";
import { callCoordinator } from "../../platform/objects.ts";
import { mayUseJob } from "../../policy/grant.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import { explain, explainToToken } from "../../policy/why.ts";
import type { Context } from "./context.ts";
import { readMailbox } from "./passes.ts";
import { json, noSuchJob, refuse } from "./respond.ts";

export async function whyJob(context: Context): Promise<Response> {
  const { env, grant, key, params, settings } = context;
  const id = params.id ?? "";
  const name = parseJobId(key.tenant, id);
  if (!name || !mayUseJob(grant, id, name.channel)) return refuse(noSuchJob(id));
  const read = () => readMailbox(context, { tenant: key.tenant, channel: name.channel }, (stub) => stub.get(id));
  // The mailbox first: only if it has the job may this tenant ask about it.
  const job = await read();
  if (!job) return refuse(noSuchJob(id));
  const standing = isEnd(job.status) ? null : await callCoordinator(env, settings.region, (stub) => stub.explain(id));
  // If the ticket is gone, the job has ended meanwhile.
  const current = standing || isEnd(job.status) ? job : ((await read()) ?? job);
  return json(grant ? explainToToken(current, standing) : explain(current, standing));
}
