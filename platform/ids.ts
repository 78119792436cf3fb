/**
 * Job ids: `job_<tag><time><nonce><number>_<channel>`. The channel (base64url) names the mailbox and the number its row, so no lookup is needed; the time
 * (ms) orders a tenant's jobs across mailboxes; the nonce keeps ids from being guessed; the tag is a checksum of the tenant, which lets the ingress answer
 * 404 for another tenant's job without waking an object. The tag is no secret: a mailbox belongs to one tenant anyway.
 */
const PATTERN = /^job_([0-9a-z]{7})([0-9a-z]{9})([0-9a-z]{6})([0-9a-z]{1,11})_([A-Za-z0-9_-]{1,1024})$/;

/** `at`: when the job was accepted, ms. */
export type JobName = { channel: string; number: number; nonce: string; at: number };

export function jobId(tenant: string, name: JobName): string {
  const time = name.at.toString(36).padStart(9, "0");
  if (lastTenant.name !== tenant) lastTenant = { name: tenant, text: tenantTag(tenant) };
  if (lastChannel.name !== name.channel) lastChannel = { name: name.channel, text: toBase64Url(name.channel) };
  return `job_${lastTenant.text}${time}${name.nonce}${name.number.toString(36)}_${lastChannel.text}`;
}

// A mailbox makes thousands of ids for the same tenant and channel.
let lastTenant = { name: "", text: tenantTag("") };
let lastChannel = { name: "", text: "" };

/** Null if the text is not an id of this tenant. */
export function parseJobId(tenant: string, id: string): JobName | null {
  const parts = PATTERN.exec(id);
  if (!parts || parts[1] !== tenantTag(tenant)) return null;
  const channel = parts[5] === lastChannel.text ? lastChannel.name : fromBase64Url(parts[5]!);
  if (channel === null) return null;
  const name = { channel, at: Number.parseInt(parts[2]!, 36), nonce: parts[3]!, number: Number.parseInt(parts[4]!, 36) };
  // Leading zeros and spare base64 bits would make other texts for the same name; events only ever carry this one.
  return jobId(tenant, name) === id ? name : null;
}

/** Where in an id the tag, the time and the number begin. */
const [TAG, TIME, NUMBER] = [4, 11, 26];

/**
 * What an id tells without the tenant being known: a name for its mailbox (two share one with a chance of 1 in 2^32), and the number there. Null if the text
 * does not look like an id. Parsed by hand: the coordinator asks for each ticket, and the pattern took a third of a microsecond.
 */
export function spotOf(id: string): { site: string; number: number } | null {
  const end = id.indexOf("_", NUMBER);
  if (end <= NUMBER || !id.startsWith("job_")) return null;
  return { site: id.slice(TAG, TIME) + id.slice(end), number: Number.parseInt(id.slice(NUMBER, end), 36) };
}

/** Only the number, from a text that looks like an id; from other texts some number or NaN. */
export function numberOf(id: string): number {
  return Number.parseInt(id.slice(NUMBER, NUMBER + 11), 36);
}

/** The name that a mailbox's ids have for it: see `spotOf`. */
export function siteOf(tenant: string, channel: string): string {
  return `${tenantTag(tenant)}_${toBase64Url(channel)}`;
}

const NONCE_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";

/** Six characters, about 31 random bits. */
export function newNonce(): string {
  let nonce = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(6))) nonce += NONCE_ALPHABET[byte % 36];
  return nonce;
}

/** The nonce of the job that redrives this one: it is as hard to guess as this one's id. */
export function nonceOf(id: string): string {
  return hashOf(id).toString(36).padStart(7, "0").slice(1);
}

/** The tenant's checksum as 7 base-36 digits. */
export function tenantTag(tenant: string): string {
  return hashOf(tenant).toString(36).padStart(7, "0");
}

/** FNV-1a, 32 bits: for spreading and checking, not for protection. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

function toBase64Url(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function fromBase64Url(text: string): string | null {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
