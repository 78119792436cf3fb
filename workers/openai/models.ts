/** `GET /v1/models`, `GET /v1/models/{id}`: what this key may call, according to the configured pools. */
import { lets } from "../../policy/admission.ts";
import { poolOf } from "../../policy/pools.ts";
import type { Context } from "../ingress/context.ts";
import { decoded, invalid, json, refuse } from "../ingress/respond.ts";

const OWNER = "openai";

/** A pool's pattern `gpt-5-mini*` stands for the model `gpt-5-mini` and its dated versions; the list names only `gpt-5-mini`. */
export async function listModels({ grant, key, settings }: Context): Promise<Response> {
  const named = Object.values(settings.pools).flatMap(({ models }) => models.map((pattern) => pattern.replace(/[*.-]+$/, "")));
  const ids = [...new Set(named)].filter((id) => id !== "" && lets(key.models, id) && lets(grant?.models ?? null, id)).sort();
  return json({ object: "list", data: ids.map(model) });
}

export async function getModel({ grant, key, params, settings }: Context): Promise<Response> {
  const id = decoded(params.id ?? "");
  if (poolOf(settings.pools, id) === null || !(lets(key.models, id) && lets(grant?.models ?? null, id))) {
    return refuse(
      invalid(`The model '${id.slice(0, 200)}' does not exist or you do not have access to it.`, "model", "model_not_found", 404),
    );
  }
  return json(model(id));
}

/** The creation date is not known here, so it is 0. */
function model(id: string) {
  return { id, object: "model", created: 0, owned_by: OWNER };
}
