/** `GET /openapi.json`: the API's description. */
import { sha256 } from "../authenticate.ts";
import { describeApi } from "./document.ts";

/** Seconds for which a client may cache it: a deployment may change it. */
const FRESH_S = 300;

type Written = { text: string; etag: string };

/** Written on the first request, so that no other request pays for it. Cached as a value, not a promise: one request may not await another's promise. */
let written: Written | undefined;

export async function answerDescription(request: Request): Promise<Response> {
  written ??= await write();
  const { etag, text } = written;
  const headers = { "content-type": "application/json; charset=utf-8", "cache-control": `public, max-age=${FRESH_S}`, etag };
  const known = request.headers.get("if-none-match")?.includes(etag);
  return known ? new Response(null, { status: 304, headers }) : new Response(text, { headers });
}

async function write(): Promise<Written> {
  const text = JSON.stringify(describeApi());
  return { text, etag: `"${(await sha256(text)).slice(0, 32)}"` };
}
