/**
 * What an upstream error means, by its code, then its type, then its status: by status alone an unpaid bill would look like a rate
 * limit that passes. The rows are those of docs/operating.md; the sources are OpenAI's guides on error codes and rate limits.
 */

/**
 * `rate_limit`: a wait. `no_capacity`: a wait for this call alone. `slow_down`: traffic grew too fast. `billing`, `credentials` (or the address): nothing will
 * succeed before somebody acts. `region`: refused where the dispatcher is. `failed`: upstream failed, another attempt may not. `refused`: this request will
 * never be taken.
 */
export type ErrorKind = "rate_limit" | "no_capacity" | "slow_down" | "billing" | "credentials" | "region" | "failed" | "refused";

/**
 * All that a row names must match; the first row that matches decides. `status`: one status, or a range that includes both ends; null: there was no response.
 */
export type Row = { code?: string; type?: string; status?: number | readonly [number, number] | null; kind: ErrorKind };

export const ERRORS: readonly Row[] = [
  { code: "slow_down", kind: "slow_down" },
  { code: "rate_limit_exceeded", kind: "rate_limit" },
  // From the flex service tier: nothing was charged, and no limit is reached.
  { code: "resource_unavailable", kind: "no_capacity" },
  { code: "insufficient_quota", kind: "billing" },
  { code: "credit_balance_exhausted", kind: "billing" },
  { code: "organization_spend_limit_exceeded", kind: "billing" },
  { code: "project_spend_limit_exceeded", kind: "billing" },
  { code: "organization_usage_limit_exceeded", kind: "billing" },
  { code: "billing_not_active", kind: "billing" },
  { code: "billing_hard_limit_reached", kind: "billing" },
  { code: "unsupported_country_region_territory", kind: "region" },
  // The job is not at fault: the address of upstream is.
  { code: "unknown_url", kind: "credentials" },
  { code: "model_not_found", kind: "refused" },
  { code: "context_length_exceeded", kind: "refused" },
  { code: "content_policy_violation", kind: "refused" },
  { type: "insufficient_quota", kind: "billing" },
  { type: "billing_not_active", kind: "billing" },
  // An error within a stream has no status of its own.
  { type: "invalid_request_error", status: null, kind: "refused" },
  { status: 401, kind: "credentials" },
  { status: 402, kind: "billing" },
  { status: 403, kind: "credentials" },
  { status: 408, kind: "failed" },
  { status: 409, kind: "failed" },
  { status: 425, kind: "failed" },
  { status: 429, kind: "rate_limit" },
  { status: [400, 499], kind: "refused" },
  { status: [500, 599], kind: "failed" },
  { status: null, kind: "failed" },
];

type Said = { status: number | null; code: string | null; type: string | null };

/**
 * An error that matches no row is a failure. `shouldRetry`: upstream's own word (`x-should-retry`), which OpenAI's SDKs put before the status; it
 * decides only between `failed` and `refused`. After a server's failure, false says only that a client should not try again at once:
 * a queue waits, and an outage must not empty it.
 */
export function kindOf(error: Said & { shouldRetry?: boolean | null }): ErrorKind {
  const kind = ERRORS.find((row) => fits(row, error))?.kind ?? "failed";
  if (kind === "failed" && error.shouldRetry === false && !isServers(error.status)) return "refused";
  return kind === "refused" && error.shouldRetry === true ? "failed" : kind;
}

/**
 * Whether upstream may have done the work of a call that failed with this status (null: no response). A timeout, or a gateway that did not hear from the server
 * behind it, leaves that open (RFC 9110, 15.5.9, 15.6.3, 15.6.5; 520 to 527 are Cloudflare's). A server that says it failed, or is overloaded, has no answer to
 * charge for.
 */
export function mayHaveWorked(status: number | null): boolean {
  return status === null || [408, 502, 504].includes(status) || (status >= 520 && status <= 527);
}

/** Characters kept of upstream's message: a server that repeats the whole input would not fit a row. */
const KEPT = 4_000;
/** A code, a type, or the name of a field ("messages[0].content"). Anything else may be part of the prompt, and codes stand in the log. */
const WORD = /^[\w.:/$[\]-]{1,128}$/;

/**
 * What OpenAI's messages tell about the account: part of a refused key ("Incorrect API key provided: sk-proj-****abcd"), and at a limit, whose it is ("in
 * organization org-…"). These names are looked for in stretches of the characters that they are made of, because one may stand within another, or within a
 * word; the rest of the stretch after a find is left out. Each stretch is searched a few times, however many beginnings it has: when each was followed to the
 * end of the text, 240 KB took ten seconds.
 */
const STRETCH = /[\w*-]+/g;
/** "task-4711" is not a key. */
const KEY = /(?<![A-Za-z0-9])sk-|sk-(?=proj-|svcacct-|admin-)/;
const KEY_CHARACTERS = 8;
/** Tells a key from a word: words have no digits, and are shorter. */
const RANDOM = /\d|\*|[A-Za-z]{16}/;
const NAME = /(?:org-|proj_|user-)(?=[A-Za-z0-9*]{16}|(?=[A-Za-z]*[\d*])[A-Za-z0-9*]{6})/;
/** The same at the end of a text that was cut: the name may have gone on. */
const CUT_NAME = /(?:sk-|org-|proj_|user-)(?=[A-Za-z0-9*]*$)/;

/** A stretch without what names the account. `cut`: the text was cut at its end, and may have gone on. */
function hide(stretch: string, cut: boolean): string {
  const key = beginOf(KEY, stretch);
  const isKey = cut || (stretch.length - key >= KEY_CHARACTERS && RANDOM.test(stretch.slice(key)));
  const names = [beginOf(NAME, stretch), cut ? beginOf(CUT_NAME, stretch) : NOWHERE];
  const shown = Math.min(isKey ? key : NOWHERE, ...names);
  return shown === NOWHERE ? stretch : `${stretch.slice(0, shown)}…`;
}

const NOWHERE = Number.POSITIVE_INFINITY;

/** Where the text after a prefix begins; `NOWHERE` without one. */
function beginOf(prefix: RegExp, stretch: string): number {
  const found = prefix.exec(stretch);
  return found ? found.index + found[0].length : NOWHERE;
}

/**
 * Upstream's message as it is kept, and shown to tenants: only the beginning of a long one, and without what names the account. `secrets`: what was sent to
 * upstream and must never come back, whatever it looks like.
 */
export function excerptOf(text: string, secrets: readonly string[] = []): string {
  const isLong = text.length > KEPT;
  // One may stand across the cut.
  const near = text.slice(0, KEPT + Math.max(0, ...secrets.map(({ length }) => length)));
  const beginning = secrets.reduce((said, secret) => said.replaceAll(secret, "…"), near).slice(0, KEPT);
  const shown = beginning.replace(STRETCH, (stretch, at: number) => hide(stretch, isLong && at + stretch.length === beginning.length));
  // Half a surrogate pair is not a character.
  return isLong ? `${shown.replace(/[\ud800-\udbff]$/, "")}… (${text.length} characters)` : shown;
}

/** A code, a type, or the name of a field or a call; null if it is not one, or names the account. Some servers send numbers. */
export function wordOf(said: unknown, secrets: readonly string[] = []): string | null {
  if (typeof said !== "string" && typeof said !== "number") return null;
  const word = String(said);
  return WORD.test(word) && excerptOf(word, secrets) === word ? word : null;
}

/** The type of an error of which upstream says none. */
export function typeOf(status: number | null): string {
  return status !== null && status >= 400 && status < 500 ? "invalid_request_error" : "server_error";
}

/** How long to wait after a failure if upstream says that another try would not help, ms. */
export const NOT_AGAIN_MS = 30_000;

export function isServers(status: number | null): boolean {
  return status !== null && status >= 500;
}

function fits(row: Row, { status, code, type }: Said): boolean {
  if (row.code !== undefined && row.code !== code) return false;
  if (row.type !== undefined && row.type !== type) return false;
  if (row.status === undefined) return true;
  if (typeof row.status === "number" || row.status === null) return row.status === status;
  return status !== null && status >= row.status[0] && status <= row.status[1];
}
