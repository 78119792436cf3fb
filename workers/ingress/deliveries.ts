/** `GET /v1/jobs/{id}/deliveries`, `POST /v1/jobs/{id}/deliveries/{delivery}/redeliver`: what was sent to a job's webhook. */
import { parseJobId } from "../../platform/ids.ts";
import { callMailbox } from "../../platform/objects.ts";
import type { Context } from "./context.ts";
import { invalid, json, noSuchJob, refuse } from "./respond.ts";

export async function listDeliveries({ env, key, params }: Context): Promise<Response> {
  const id = params.id ?? "";
  const name = parseJobId(key.tenant, id);
  const data = name && (await callMailbox(env, { tenant: key.tenant, channel: name.channel }, (stub) => stub.deliveries(id)));
  return data ? json({ object: "list", data, has_more: false }) : refuse(noSuchJob(id));
}

export async function redeliverEvent({ env, key, params }: Context): Promise<Response> {
  const id = params.id ?? "";
  const event = params.delivery ?? "";
  const name = parseJobId(key.tenant, id);
  if (!name) return refuse(noSuchJob(id));
  const address = { tenant: key.tenant, channel: name.channel };
  const delivery = await callMailbox(env, address, (stub) => stub.redeliver(id, event));
  if (delivery) return json(delivery, 202);
  const known = await callMailbox(env, address, (stub) => stub.deliveries(id));
  if (!known) return refuse(noSuchJob(id));
  return refuse(invalid(`This job has no delivery "${event.slice(0, 200)}".`, "delivery", "delivery_not_found", 404));
}
