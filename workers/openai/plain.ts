/** A call without `stream`: answered once the answer is there, within the time that the caller waits. */
import { callMailbox } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { Job } from "../../schemas/job.ts";
import type { Context } from "../ingress/context.ts";
import { follow } from "../ingress/follow.ts";
import { OUT_OF_TIME, patienceOf } from "../ingress/patience.ts";
import { json, refuse } from "../ingress/respond.ts";
import { headersOf, problemOf, shouldRetry, stillOnItsWay, type Times } from "./answers.ts";
import type { Caller } from "./caller.ts";
import type { Placed } from "./submit-call.ts";

export async function plain(context: Context, caller: Caller, placed: Extract<Placed, { ok: true }>): Promise<Response> {
  const { background, env, grant, request } = context;
  const { address, job: id, replayed, share } = placed;
  const { signal, over } = patienceOf(request, caller.until - Date.now());
  const times: Times = { submitted: Date.now(), started: null, ended: null };
  // The door did not see how long an older job waited.
  const note = (time: "started" | "ended") => {
    if (!replayed) times[time] ??= Date.now();
  };
  let job: Job | null = null;
  try {
    for await (const { event, data } of follow(env, { address, job: id, after: 0, deltas: false, caller: true, grant, signal })) {
      if (event === "in_progress") note("started");
      if (isEnd(event)) job = data as Job;
    }
  } finally {
    over();
  }
  // The caller did not leave by itself; it is being sent away.
  if (!job && signal.reason === OUT_OF_TIME) background(callMailbox(env, address, (stub) => stub.dismiss(id)));
  if (!job) return refuse(stillOnItsWay(id), { ...headersOf(id, share, times), ...shouldRetry(true) });
  note("ended");
  const headers = headersOf(id, share, times);
  const givesUpMs = caller.givesUpAt - Date.now();
  background(callMailbox(env, address, (stub) => stub.collect(id, givesUpMs)));
  const problem = problemOf(job);
  return problem ? refuse(problem, { ...headers, ...shouldRetry(false) }) : json(job.response, 200, headers);
}
