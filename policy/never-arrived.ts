/**
 * Answers by which Cloudflare says that it handed a request to nobody. A Worker's calls leave through Cloudflare's network, which makes the connection to upstream: one
 * that is refused is told by a status and not by an error, and so it is by the Cloudflare in front of an upstream.
 *
 * Sources: the support pages on 5xx errors and on 1xxx errors (developers.cloudflare.com/support/troubleshooting/http-status-codes) for the meanings, and for the
 * bodies "error code: N" in plain text, and for who accepts JSON, as the SDK does, that of blog.cloudflare.com/rfc-9457-agent-error-pages. Not here, for they may also come after the request was sent: 520,
 * 522 (of which one kind is a request that was not acknowledged), 523, 524, and 530 for anything but a name.
 */
const MEANINGS: Readonly<Record<number, { status: number; words: string }>> = {
  521: { status: 521, words: "it refuses connections" },
  525: { status: 525, words: "no TLS connection to it comes about" },
  526: { status: 526, words: "its certificate is not valid" },
  1016: { status: 530, words: "its host name does not resolve" },
};

const STATUSES: ReadonlySet<number> = new Set(Object.values(MEANINGS).map(({ status }) => status));

/** Whether the body of such an answer is worth a look: by its status alone it may be anybody's. */
export function mayBeEdges(status: number, server: string | null): boolean {
  return STATUSES.has(status) && server === "cloudflare";
}

/** Why the request has not arrived, by an answer that may be the edge's; null: it may have. */
export function whyNeverArrived(status: number, body: string): string | null {
  const code = codeIn(body);
  const meaning = code === null ? undefined : MEANINGS[code];
  return meaning?.status === status ? `${meaning.words} (Cloudflare's error ${code})` : null;
}

/** The number of the edge's error; null of a body that is not the edge's. */
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
