/**
 * Pages of any origin may call, as nothing here goes by a cookie: what a request may do, its bearer token says, and a page has none that
 * it was not given.
 */
const ALLOWED = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PATCH, DELETE",
  // "*" does not cover `authorization`. OpenAI's SDK sends headers of its own.
  "access-control-allow-headers": "*, authorization",
  // Seconds that a browser remembers this; the longest that any of them takes is a day.
  "access-control-max-age": "7200",
};
/** A browser's question before the request itself, which it sends without a token; null for any other request. */
export function preflight({ method, headers }: Request): Response | null {
  if (method !== "OPTIONS" || !headers.has("access-control-request-method")) return null;
  return new Response(null, { status: 204, headers: ALLOWED });
}

export function openToPages(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", "*");
}
