/**
 * `POST /v1/files`: a file of up to 200 MB, stored as it comes. Only one piece of it is in memory at a time: the multipart parser passes on what it finds, and
 * more is read only once that is stored.
 */
import { type MultipartError, make, type PartInfo } from "multipasta";
import { fileId, newName } from "../../platform/file-ids.ts";
import { callArchive } from "../../platform/objects.ts";
import { aTurn } from "../../platform/turns.ts";
import { FILE_BYTES_LIMIT, type FileObject } from "../../schemas/batch.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Context } from "../ingress/context.ts";
import { invalid, json, refuse } from "../ingress/respond.ts";

/** Bytes gathered before they are stored. */
const PIECE_BYTES = 1_000_000;
const FILENAME_LIMIT = 512;
/** A boundary has at most 70 characters, preceded by two dashes: no run of dashes that belongs to one is longer. */
const DASHES_LIMIT = 72;
const DASH = 0x2d;

const TOO_LARGE = invalid("The file is larger than 200 MB.", "file", "file_too_large", 413);

/** What has been found in the form so far. */
class Form {
  readonly fields = new Map<string, string>();
  filename: string | null = null;
  problem: Problem | null = null;
  bytes = 0;
  #pieces: Uint8Array[] = [];
  #gathered = 0;

  field(info: PartInfo, value: Uint8Array): void {
    this.fields.set(parameterOf(info, "name") ?? "", new TextDecoder().decode(value));
  }

  file(info: PartInfo): (chunk: Uint8Array | null) => void {
    if (this.filename !== null) return () => {};
    this.filename = (parameterOf(info, "filename") ?? "file").slice(0, FILENAME_LIMIT);
    return (chunk) => {
      if (!chunk || this.problem) return;
      this.bytes += chunk.length;
      if (this.bytes > FILE_BYTES_LIMIT) this.problem = TOO_LARGE;
      this.#pieces.push(chunk.slice());
      this.#gathered += chunk.length;
    };
  }

  fail(error?: MultipartError): void {
    const tooLarge = error?._tag === "ReachedLimit" && ["MaxTotalSize", "MaxPartSize"].includes(error.limit);
    this.problem ??= tooLarge ? TOO_LARGE : invalid("The body is not a well-formed multipart form.", null, "invalid_multipart");
  }

  /** The next bytes to store; null if less than a piece is there, unless it is the end. */
  take(end: boolean): Uint8Array | null {
    if (this.#gathered === 0 || (!end && this.#gathered < PIECE_BYTES)) return null;
    const whole = new Uint8Array(this.#gathered);
    let at = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    [this.#pieces, this.#gathered] = [[], 0];
    return whole;
  }
}

export async function uploadFile(context: Context): Promise<Response> {
  const { env, key, request } = context;
  const type = request.headers.get("content-type") ?? "";
  if (!request.body || !/^multipart\/form-data\s*;.*boundary=/i.test(type))
    return refuse(invalid("Send a multipart/form-data body with the fields purpose and file.", null, "invalid_multipart"));
  const now = Date.now();
  const name = newName(now);
  const form = new Form();
  await store(context, form, name, request.body as ReadableStream<Uint8Array>);
  const problem = form.problem ?? unfit(form);
  if (problem) {
    if (form.bytes > 0) context.background(callArchive(env, key.tenant, name, (stub) => stub.remove()));
    return refuse(problem);
  }
  const file: FileObject = {
    id: fileId(key.tenant, name, "input"),
    object: "file",
    bytes: form.bytes,
    created_at: Math.floor(now / 1_000),
    filename: form.filename!,
    purpose: "batch",
    status: "processed",
  };
  await callArchive(env, key.tenant, name, (stub) => stub.seal(file));
  return json(file);
}

async function store({ env, key, request }: Context, form: Form, name: string, body: ReadableStream<Uint8Array>): Promise<void> {
  const parser = make({
    headers: { "content-type": request.headers.get("content-type")! },
    // In the parser's count, where a part's headers are part of its size.
    maxPartSize: FILE_BYTES_LIMIT + 500_000,
    maxTotalSize: FILE_BYTES_LIMIT + 1_000_000,
    maxParts: 100,
    maxFieldSize: 10_000,
    isFile: (info) => parameterOf(info, "name") === "file",
    onField: (info, value) => form.field(info, value),
    onFile: (info) => form.file(info),
    onError: (error) => form.fail(error),
    onDone: () => {},
  });
  let stored = 0;
  const flush = async (end: boolean) => {
    const bytes = form.take(end);
    if (!bytes) return;
    await callArchive(env, key.tenant, name, (stub) => stub.append(stored, bytes));
    stored += bytes.length;
    // As long as more bytes are always ready, workerd looks at no other connection.
    await aTurn();
  };
  const parse = (work: () => void) => {
    try {
      work();
    } catch {
      form.fail();
    }
  };
  for await (const chunk of undivided(body)) {
    // Anything after a refusal is read and thrown away: an answer sent before the body ends would be lost.
    if (form.problem) continue;
    parse(() => parser.write(chunk));
    await flush(false);
  }
  if (!form.problem) parse(() => parser.end());
  if (!form.problem) await flush(true);
}

/** The same bytes, never split between two dashes: the parser recognises the dashes that end the last boundary only if they come together. */
async function* undivided(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let kept = 0;
  for await (const chunk of body) {
    let until = chunk.length;
    while (until > 0 && chunk[until - 1] === DASH) until--;
    const dashes = chunk.length - until;
    if (until === 0 && kept + dashes <= DASHES_LIMIT) {
      kept += dashes;
      continue;
    }
    const whole = new Uint8Array(kept + until).fill(DASH, 0, kept);
    whole.set(chunk.subarray(0, until), kept);
    yield whole;
    kept = dashes;
  }
  if (kept > 0) yield new Uint8Array(kept).fill(DASH);
}

/** A parameter of a part's Content-Disposition. Quoted values may be in any script, but the parser itself reads only Latin ones. */
function parameterOf(info: PartInfo, parameter: "name" | "filename"): string | undefined {
  const header = [info.headers["content-disposition"] ?? []].flat().join(";");
  const quoted = new RegExp(`;\\s*${parameter}="((?:\\\\"|[^"])*)"`, "i").exec(header);
  return quoted ? quoted[1]!.replaceAll(/\\"|%22/g, '"') : info[parameter];
}

function unfit({ bytes, fields, filename }: Form): Problem | null {
  const purpose = fields.get("purpose");
  if (purpose === undefined) return invalid("'purpose' is a required property", "purpose");
  if (purpose !== "batch") return invalid(`'${purpose.slice(0, 50)}' is not a supported purpose: use 'batch'.`, "purpose");
  if (filename === null) return invalid("'file' is a required property", "file");
  return bytes === 0 ? invalid("The file is empty.", "file", "empty_file") : null;
}
