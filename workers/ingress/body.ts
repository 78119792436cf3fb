/** Reads request bodies within bounds: an isolate has 128 MB of memory for everything it does at once. */
import type { z } from "zod";
import { isTooLarge, parseExact } from "../../platform/exact-json.ts";
import type { Problem } from "../../schemas/problem.ts";
import { excessOf } from "./measure-json.ts";
import { invalid, malformed } from "./respond.ts";

/** Bytes of a JSON body. */
export const BODY_LIMIT = 32 * 1024 * 1024;

export function tooLarge(what: string, limit: number): Problem {
  return invalid(`${what} is larger than ${Math.floor(limit / 1_048_576)} MB.`, null, "request_too_large", 413);
}

/** Bytes of an oversized body that are read and thrown away: answering before the body ends breaks the connection, and the answer is lost. */
const DISCARD_LIMIT = 128 * 1024 * 1024;

/** The body as text. */
async function readText(request: Request): Promise<{ ok: true; text: string } | { ok: false; problem: Problem }> {
  if (!request.body) return { ok: true, text: "" };
  // Nearly all requests state their length and send no more than that. Reading chunk by chunk would take several promise turns.
  if (Number(request.headers.get("content-length") ?? Number.POSITIVE_INFINITY) <= BODY_LIMIT)
    return { ok: true, text: await request.text() };
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes <= BODY_LIMIT) text += decoder.decode(chunk, { stream: true });
    else text = "";
    if (bytes > DISCARD_LIMIT) break;
  }
  if (bytes > BODY_LIMIT) return { ok: false, problem: tooLarge("The request body", BODY_LIMIT) };
  return { ok: true, text: text + decoder.decode() };
}

type Json = { ok: true; value: unknown; text: string } | { ok: false; problem: Problem };

/** The body as JSON, and the text it came as. `none`: the value of an empty body, where one is allowed. */
export async function readJson(request: Request, none?: unknown): Promise<Json> {
  const body = await readText(request);
  if (!body.ok) return body;
  if (body.text === "" && none !== undefined) return { ...body, value: none };
  const excess = excessOf(body.text);
  if (excess) return { ok: false, problem: invalid(`The JSON body ${excess}.`, null, "invalid_json") };
  const value = parsed(body.text);
  if (value !== undefined) return { ok: true, value, text: body.text };
  return { ok: false, problem: invalid("We could not parse the JSON body of your request.", null, "invalid_json") };
}

/** The body parsed by a schema. `none`: as in `readJson`. */
export async function readAs<T>(
  request: Request,
  schema: z.ZodType<T>,
  none?: unknown,
): Promise<{ ok: true; value: T } | { ok: false; problem: Problem }> {
  const body = await readJson(request, none);
  if (!body.ok) return body;
  return checked(schema, body.value);
}

/** JSON from a body parsed by a schema. `code`: of the problem if it does not fit. */
export function checked<T>(schema: z.ZodType<T>, value: unknown, code?: string): { ok: true; value: T } | { ok: false; problem: Problem } {
  const parsed = schema.safeParse(value, { error: ofLargeNumber });
  return parsed.success ? { ok: true, value: parsed.data } : { ok: false, problem: malformed(parsed.error, code) };
}

/** Such a number is an object to the schema, which must not be said to a client that sent a number. */
const ofLargeNumber: z.core.$ZodErrorMap = (issue) => {
  if (issue.code !== "invalid_type" || !isTooLarge(issue.input)) return undefined;
  return issue.expected === "number" ? "The number is too large" : `Invalid input: expected ${issue.expected}, received number`;
};

/** Undefined if the text is not JSON, or exceeds the limits. */
export function parseJson(text: string): unknown {
  return excessOf(text) === null ? parsed(text) : undefined;
}

function parsed(text: string): unknown {
  try {
    return parseExact(text);
  } catch {
    return undefined;
  }
}
