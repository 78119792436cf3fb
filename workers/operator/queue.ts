/** `GET /v1/queue`: the whole queue, counted. */
import { callCoordinator } from "../../platform/objects.ts";
import type { Context } from "../ingress/context.ts";
import { json } from "../ingress/respond.ts";

export async function getQueue({ env, settings }: Context): Promise<Response> {
  return json(await callCoordinator(env, settings.region, (stub) => stub.inspect()));
}
