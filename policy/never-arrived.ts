/**
 * Answers by which Cloudflare says that it did not pass a request on. A Worker's calls leave through Cloudflare's network, which makes the connection to
 * upstream: a refused connection shows as a status, not as an error. The same goes for a Cloudflare in front of upstream.
 *
 * Sources for the meanings and the plain-text body "error code: N": the support pages on 5xx errors and on 1xxx errors
 * (developers.cloudflare.com/support/troubleshooting/http-status-codes). For the JSON body, sent to clients that accept it, as the SDK does:
 * blog.cloudflare.com/rfc-9457-agent-error-pages. Left out, because they can also come after the request was sent: 520, 522 (one kind of it is a request that
 * was not acknowledged), 523, 524, and 530 for anything other than a host name.
 */
const MEANINGS: Readonly<Record<number, { status: number; words: string }>> = {
  521: { status: 521, words: "it refuses connections" },
  525: { status: 525, words: "no TLS connection to it can be made" },
  526: { status: 526, words: "its certificate is not valid" },
  1016: { status: 530, words: "its host name does not resolve" },
};

const STATUSES: ReadonlySet<number> = new Set(Object.values(MEANINGS).map(({ status }) => status));

/** Whether the body of an answer is worth a look: the status alone does not tell who sent it. */
export function mayBeEdges(status: number, server: string | null): boolean {
  return STATUSES.has(status) && server === "cloudflare";
}

/** Why the request did not arrive, according to an answer that may be the edge's; null if it may have arrived. */
export function whyNeverArrived(status: number, body: string): string | null {
  const code = codeIn(body);
  const meaning = code === null ? undefined : MEANINGS[code];
  return meaning?.status === status ? `${meaning.words} (Cloudflare's error ${code})` : null;
}

/** The number of the edge's error; null for a body that is not the edge's. */
function codeIn(body: string): number | null {
  const plain = /^error code: (\d{3,4})\s*$/.exec(body);
  if (plain) return Number(plain[1]);
  const said = parsed(body);
  if (said?.cloudflare_error !== true) return null;
  const code = said.error_code ?? said.status;
  return typeof code === "number" ? code : null;
}

function parsed(body: string): { cloudflare_error?: unknown; error_code?: unknown; status?: unknown } | null {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
