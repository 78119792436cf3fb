/** `/v1/files`: what was uploaded, and what batches wrote. */
import { type FileKind, LIBRARY, parseFileId } from "../../platform/file-ids.ts";
import { callArchive, callBatch } from "../../platform/objects.ts";
import type { FileObject } from "../../schemas/batch.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Context } from "../ingress/context.ts";
import { pagingOf } from "../ingress/query.ts";
import { badParameter, invalid, json, page, refuse } from "../ingress/respond.ts";

const PAGE = { standard: 10_000, most: 10_000, item: "file" };
const ORDERS = ["asc", "desc"];

type Found = { name: string; kind: FileKind; file: FileObject };

export async function getFile(context: Context): Promise<Response> {
  const found = await find(context, context.params.id ?? "");
  return found ? json(found.file) : refuse(noSuchFile(context.params.id ?? ""));
}

/** Uploaded files, newest first. */
export async function listFiles({ env, key, url }: Context): Promise<Response> {
  const paging = pagingOf(url, { ...PAGE, fits: (id) => parseFileId(key.tenant, id) !== null });
  if (!paging.ok) return refuse(paging.problem);
  const { after, limit } = paging;
  const order = url.searchParams.get("order") ?? "desc";
  if (!ORDERS.includes(order)) return refuse(badParameter(`order must be one of ${ORDERS.join(", ")}.`, "order"));
  const purpose = url.searchParams.get("purpose");
  const query = { kind: "file" as const, after, ascending: order === "asc" };
  const entries =
    purpose === null || purpose === "batch"
      ? await callArchive(env, key.tenant, LIBRARY, (stub) => stub.entries({ ...query, limit: limit + 1 }))
      : [];
  return json(
    page(
      entries.slice(0, limit).map(({ file }) => file!),
      entries.length > limit,
    ),
  );
}

export async function deleteFile(context: Context): Promise<Response> {
  const { env, key, params } = context;
  const found = await find(context, params.id ?? "");
  if (!found) return refuse(noSuchFile(params.id ?? ""));
  if (found.kind !== "input")
    return refuse(
      invalid(
        "A file written by a batch cannot be deleted: it is removed together with the batch's jobs.",
        "file_id",
        "file_not_deletable",
        409,
      ),
    );
  await callArchive(env, key.tenant, LIBRARY, (stub) => stub.strike(found.file.id));
  await callArchive(env, key.tenant, found.name, (stub) => stub.remove());
  return json({ id: found.file.id, object: "file", deleted: true });
}

/** The bytes, fetched only as fast as the reader takes them. */
export async function fileContent(context: Context): Promise<Response> {
  const found = await find(context, context.params.id ?? "");
  if (!found) return refuse(noSuchFile(context.params.id ?? ""));
  const pieces = found.kind === "input" ? uploaded(context, found) : written(context, found.name, found.kind);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void pieces.return(undefined),
  });
  return new Response(body, { headers: { "content-type": "application/octet-stream" } });
}

export async function find({ env, key }: Pick<Context, "env" | "key">, id: string): Promise<Found | null> {
  const parsed = parseFileId(key.tenant, id);
  if (!parsed) return null;
  const { kind, name } = parsed;
  const file =
    kind === "input"
      ? await callArchive(env, key.tenant, name, (stub) => stub.file())
      : await callBatch(env, key.tenant, name, (stub) => stub.resultFile(kind));
  return file && { name, kind, file };
}

async function* uploaded({ env, key }: Context, { file, name }: Found): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.bytes; ) {
    const bytes = await callArchive(env, key.tenant, name, (stub) => stub.read(at));
    if (!bytes) throw new Error("The file was deleted while it was read.");
    yield bytes;
    at += bytes.length;
  }
}

async function* written({ env, key }: Context, name: string, kind: "output" | "error"): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for (let after: number | null = 0; after !== null; ) {
    const from: number = after;
    const page = await callBatch(env, key.tenant, name, (stub) => stub.results(kind, from));
    if (!page) throw new Error("The file was deleted while it was read.");
    if (page.text !== "") yield encoder.encode(page.text);
    after = page.next;
  }
}

export function noSuchFile(id: string): Problem {
  return invalid(`No such File object: ${id.slice(0, 200)}`, "id", null, 404);
}
