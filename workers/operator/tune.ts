/** `GET` and `PATCH /v1/pools/{pool}`, `/v1/tenants/{tenant}`: what is in force, and what operators set on top of the configuration. */
import { z } from "zod";
import { callCoordinator } from "../../platform/objects.ts";
import { PoolTuning, TenantTuning, type Tune } from "../../schemas/tuning.ts";
import { readAs } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { decoded, json, refuse } from "../ingress/respond.ts";

const Reset = { reset: z.boolean().default(false) };
export const PoolWish = PoolTuning.extend(Reset);
export const TenantWish = TenantTuning.extend(Reset);

export const getPool = (context: Context) => answer(context, { ...newWish(), kind: "pool", id: poolOf(context), set: {} });
export const getTenant = (context: Context) => answer(context, { ...newWish(), kind: "tenant", id: tenantOf(context), set: {} });

export async function tunePool(context: Context): Promise<Response> {
  const wish = await readAs(context.request, PoolWish);
  if (!wish.ok) return refuse(wish.problem);
  const { reset, ...set } = wish.value;
  return answer(context, { ...newWish(reset), kind: "pool", id: poolOf(context), set });
}

export async function tuneTenant(context: Context): Promise<Response> {
  const wish = await readAs(context.request, TenantWish);
  if (!wish.ok) return refuse(wish.problem);
  const { reset, ...set } = wish.value;
  return answer(context, { ...newWish(reset), kind: "tenant", id: tenantOf(context), set });
}

async function answer({ env, settings }: Context, wish: Tune): Promise<Response> {
  const told = await callCoordinator(env, settings.region, (stub) => stub.tune(wish));
  return "ok" in told ? refuse(told.problem) : json(told);
}

const newWish = (reset = false) => ({ wish: crypto.randomUUID(), reset });
const poolOf = ({ params }: Context) => decoded(params.pool ?? "");
const tenantOf = ({ params }: Context) => decoded(params.tenant ?? "");
