/** `/v1/batches`: OpenAI's Batch API, on the budget that live jobs leave. */
import { batchId, newName, parseBatchId } from "../../platform/file-ids.ts";
import { callArchive, callBatch } from "../../platform/objects.ts";
import { windowMs } from "../../policy/batch.ts";
import { BatchInput } from "../../schemas/batch.ts";
import type { Problem } from "../../schemas/problem.ts";
import { readText } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { invalid, json, refuse } from "../ingress/respond.ts";
import { webhookOf } from "../ingress/webhook.ts";
import { find, noSuchFile } from "./files.ts";
import { LIBRARY } from "./upload.ts";

const PAGE_LIMIT = 100;
const PAGE_DEFAULT = 20;

export async function createBatch(context: Context): Promise<Response> {
  const { env, key, request, settings } = context;
  const text = await readText(request);
  if (!text.ok) return refuse(text.problem);
  const input = inputOf(text.text);
  if (!input.ok) return refuse(input.problem);
  const { completion_window: window, input_file_id, metadata } = input.value;
  const webhook = webhookOf(input.value, key, settings);
  if (!webhook.ok) return refuse(webhook.problem);
  const found = await find(context, input_file_id);
  if (found?.kind !== "input") return refuse({ ...noSuchFile(input_file_id), status: 400, param: "input_file_id" });
  const name = newName(Date.now());
  const id = batchId(key.tenant, name);
  // Listed first: what is under way can be found, whatever breaks in between.
  await callArchive(env, key.tenant, LIBRARY, (stub) => stub.enter({ id, kind: "batch", file: null }));
  const order = {
    id,
    window,
    windowMs: windowMs(window),
    input: input_file_id,
    archive: found.name,
    metadata: metadata ?? null,
    models: key.models,
    webhook: webhook.url,
  };
  return json(await callBatch(env, key.tenant, name, (stub) => stub.begin(order)));
}

export async function getBatch({ env, key, params }: Context): Promise<Response> {
  const name = parseBatchId(key.tenant, params.id ?? "");
  const batch = name && (await callBatch(env, key.tenant, name, (stub) => stub.batch()));
  return batch ? json(batch) : refuse(noSuchBatch(params.id ?? ""));
}

export async function cancelBatch({ env, key, params }: Context): Promise<Response> {
  const name = parseBatchId(key.tenant, params.id ?? "");
  const batch = name && (await callBatch(env, key.tenant, name, (stub) => stub.cancelBatch()));
  return batch ? json(batch) : refuse(noSuchBatch(params.id ?? ""));
}

/** Newest first. */
export async function listBatches({ env, key, url }: Context): Promise<Response> {
  const limit = Number(url.searchParams.get("limit") ?? PAGE_DEFAULT);
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_LIMIT)
    return refuse(invalid(`limit is a whole number from 1 to ${PAGE_LIMIT}.`, "limit"));
  const query = { kind: "batch" as const, after: url.searchParams.get("after"), ascending: false, limit: limit + 1 };
  const entries = await callArchive(env, key.tenant, LIBRARY, (stub) => stub.entries(query));
  const shown = await Promise.all(
    entries.slice(0, limit).map(({ id }) => callBatch(env, key.tenant, parseBatchId(key.tenant, id)!, (stub) => stub.batch())),
  );
  // One that broke off between its entry and its beginning never was.
  const data = shown.filter((batch) => batch !== null);
  return json({ object: "list", data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: entries.length > limit });
}

function inputOf(text: string): { ok: true; value: BatchInput } | { ok: false; problem: Problem } {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return { ok: false, problem: invalid("We could not parse the JSON body of your request.") };
  }
  const parsed = BatchInput.safeParse(raw);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  const param = issue?.path.join(".") || null;
  return { ok: false, problem: invalid(`${param ?? "body"}: ${issue?.message ?? "malformed"}`, param) };
}

function noSuchBatch(id: string): Problem {
  return invalid(`No batch found with id '${id.slice(0, 200)}'.`, "id", null, 404);
}
