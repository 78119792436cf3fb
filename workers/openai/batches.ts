/** `/v1/batches`: OpenAI's Batch API, on the budget that live jobs leave. */
import { batchId, LIBRARY, newName, parseBatchId } from "../../platform/file-ids.ts";
import { callArchive, callBatch } from "../../platform/objects.ts";
import { windowMs } from "../../policy/batch.ts";
import { BatchInput, type BatchObject } from "../../schemas/batch.ts";
import { sha256 } from "../ingress/authenticate.ts";
import { readAs } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { pagingOf } from "../ingress/query.ts";
import { json, noSuchBatch, page, refuse } from "../ingress/respond.ts";
import { idempotencyKeyOf, keyConflict } from "../ingress/submit-jobs.ts";
import { webhookOf } from "../ingress/webhook.ts";
import { isRetry } from "./caller.ts";
import { find, noSuchFile } from "./files.ts";

const PAGE = { standard: 20, most: 100, item: "batch" };

export async function createBatch(context: Context): Promise<Response> {
  const { env, key, request, settings } = context;
  const parsed = await readAs(request, BatchInput);
  if (!parsed.ok) return refuse(parsed.problem);
  const { completion_window: window, input_file_id, metadata } = parsed.value;
  const webhook = webhookOf(parsed.value, key, settings);
  if (!webhook.ok) return refuse(webhook.problem);
  const idempotency = idempotencyKeyOf(request);
  if (!idempotency.ok) return refuse(idempotency.problem);
  const claim = {
    id: batchId(key.tenant, newName(Date.now())),
    key: idempotency.key,
    fingerprint: await sha256(`${request.headers.get("authorization")}\n${JSON.stringify(parsed.value)}`),
    retried: isRetry(request.headers),
  };
  const found = await find(context, input_file_id);
  if (found?.kind !== "input") {
    // The file may have been deleted since; the batch it started is still reported.
    const known = await callArchive(env, key.tenant, LIBRARY, (stub) => stub.enteredBatch(claim));
    const batch = known === null ? null : await callBatch(env, key.tenant, parseBatchId(key.tenant, known)!, (stub) => stub.batch());
    return batch ? json(batch) : refuse({ ...noSuchFile(input_file_id), status: 400, param: "input_file_id" });
  }
  // Listed first, so that a running batch can be found whatever breaks in between.
  const id = await callArchive(env, key.tenant, LIBRARY, (stub) => stub.enterBatch(claim));
  if (id === null) return refuse(keyConflict());
  const order = {
    id,
    window,
    windowMs: windowMs(window),
    input: input_file_id,
    archive: found.name,
    bytes: found.file.bytes,
    metadata: metadata ?? null,
    models: key.models,
    webhook: webhook.url,
  };
  return json(await callBatch(env, key.tenant, parseBatchId(key.tenant, id)!, (stub) => stub.begin(order)));
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
  const paging = pagingOf(url, { ...PAGE, fits: (id) => parseBatchId(key.tenant, id) !== null });
  if (!paging.ok) return refuse(paging.problem);
  const { limit } = paging;
  const shown: BatchObject[] = [];
  let { after } = paging;
  let more = true;
  while (more && shown.length < limit) {
    const query = { kind: "batch" as const, after, ascending: false, limit: limit - shown.length + 1 };
    const entries = await callArchive(env, key.tenant, LIBRARY, (stub) => stub.entries(query));
    more = entries.length === query.limit;
    const read = more ? entries.slice(0, -1) : entries;
    const batches = read.map(({ id }) => callBatch(env, key.tenant, parseBatchId(key.tenant, id)!, (stub) => stub.batch()));
    // One that broke off between its entry and its start never existed.
    for (const batch of await Promise.all(batches)) if (batch) shown.push(batch);
    after = read.at(-1)?.id ?? after;
  }
  return json(page(shown, more));
}
