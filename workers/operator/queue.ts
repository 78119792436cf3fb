/** `GET /v1/queue`: the whole queue, counted. `POST /v1/queue/pause`, `/drain`, `/resume`: for everything, a pool, or a tenant. */
import { z } from "zod";
import { callCoordinator } from "../../platform/objects.ts";
import type { Lever, Scope } from "../../schemas/queue.ts";
import { readAs } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { json, refuse } from "../ingress/respond.ts";

/** What a lever applies to; everything, if neither is given. Null names nothing, and must not stop everything. */
export const Wish = z
  .strictObject({ pool: z.string().min(1).max(64).optional(), tenant: z.string().min(1).max(64).optional() })
  .refine(({ pool, tenant }) => !(pool && tenant), { message: "name a pool or a tenant, not both", path: ["tenant"] });

export async function getQueue({ env, settings }: Context): Promise<Response> {
  return json(await callCoordinator(env, settings.region, (stub) => stub.inspect(undefined)));
}

export const pauseQueue = (context: Context) => pull(context, "pause");
export const drainQueue = (context: Context) => pull(context, "drain");
export const resumeQueue = (context: Context) => pull(context, "resume");

/** Answers with the resulting queue. */
async function pull({ env, request, settings }: Context, lever: Lever): Promise<Response> {
  const wish = await readAs(request, Wish, {});
  if (!wish.ok) return refuse(wish.problem);
  const answer = await callCoordinator(env, settings.region, (stub) => stub.pull(lever, scopeOf(wish.value)));
  return "ok" in answer ? refuse(answer.problem) : json(answer);
}

function scopeOf({ pool, tenant }: z.infer<typeof Wish>): Scope {
  if (pool) return { kind: "pool", id: pool };
  return tenant ? { kind: "tenant", id: tenant } : { kind: "all" };
}
