/**
 * Pages of any origin may call, because nothing here depends on cookies: the bearer token says what a request may do, and a page has only the token it was
 * given.
 */
const ALLOWED = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PATCH, DELETE",
  // "*" does not cover `authorization`. OpenAI's SDK sends headers of its own.
  "access-control-allow-headers": "*, authorization",
  // Seconds for which a browser may cache this. Browsers cap it at a day or less.
  "access-control-max-age": "7200",
};
/** Answers a browser's preflight request, which carries no token; null for any other request. */
export function preflight({ method, headers }: Request): Response | null {
  if (method !== "OPTIONS" || !headers.has("access-control-request-method")) return null;
  return new Response(null, { status: 204, headers: ALLOWED });
}

export function openToPages(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", "*");
}
