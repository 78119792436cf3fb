import { isOfKeys, readSettings } from "../platform/settings.ts";
import type { Variable } from "./runtime.ts";

export type Deployment = {
  /** As they would be uploaded: wrangler.toml, `--var` and `--secrets-file`. */
  vars: Record<string, Variable>;
  /** Names of the secrets that Cloudflare already has, or why they could not be listed. */
  stored: string[] | Error;
  withSimulator: boolean;
};

/** @returns what must be fixed before a deployment, each with the way to fix it. */
export function problems({ vars, stored, withSimulator }: Deployment): string[] {
  const uploaded = Object.keys(vars).filter((name) => vars[name]?.kind === "secret");
  // An uploaded value replaces the stored one, even if it is blank.
  const has = (name: string) => (vars[name] ? !isEmpty(name, vars[name].value) : !(stored instanceof Error) && stored.includes(name));
  const plain = (name: string) => vars[name] !== undefined && vars[name].kind !== "secret" && vars[name].value.trim() !== "";
  const found: string[] = [];
  for (const name of ["SLUICE_LOCAL", "SLUICE_DEV_KEYS"]) {
    if (name in vars) found.push(`${name} must not be deployed: it would let anybody in with a development key. Remove it from [vars].`);
  }
  for (const name of [...Object.keys(vars).filter(isOfKeys), "OPENAI_API_KEY", "SLUICE_TOKEN_SECRET", "SLUICE_ALERT_URL"]) {
    if (plain(name)) found.push(`${name} must be a secret, not a plain variable. Remove it from [vars].`);
  }
  // Secrets that come with the upload can be checked without a login; the ones that Cloudflare has cannot.
  const account = uploaded.includes("SLUICE_KEYS") && (uploaded.includes("OPENAI_API_KEY") || withSimulator || plain("OPENAI_BASE_URL"));
  if (stored instanceof Error && !account) found.push(whyUnlisted(stored));
  else {
    if (!has("SLUICE_KEYS"))
      found.push("The secret SLUICE_KEYS is not set, so no client could log in. Set it: npx wrangler secret put SLUICE_KEYS");
    if (!has("OPENAI_API_KEY") && !plain("OPENAI_BASE_URL") && !withSimulator) found.push(NO_UPSTREAM);
  }
  return [...found, ...tooLarge(vars), ...malformed(vars)];
}

/** @returns optional settings that are missing, each with what will not work without it. */
export function notes({ vars, stored }: Pick<Deployment, "vars" | "stored">): string[] {
  const known = vars.SLUICE_TOKEN_SECRET !== undefined || stored instanceof Error || stored.includes("SLUICE_TOKEN_SECRET");
  if (known) return [];
  return [
    "The secret SLUICE_TOKEN_SECRET is not set, so there will be no browser tokens. To set it: openssl rand -base64 48 | npx wrangler secret put SLUICE_TOKEN_SECRET",
  ];
}

/** As good as unset: blank, or a list without keys. A malformed list is reported separately. */
function isEmpty(name: string, value: string): boolean {
  if (name !== "SLUICE_KEYS" || malformed({ SLUICE_KEYS: { kind: "secret", value } }).length > 0) return value.trim() === "";
  return readSettings({ SLUICE_KEYS: value }).keys.size === 0;
}

const NO_UPSTREAM =
  "The secret OPENAI_API_KEY is not set, so no jobs would be called. Set it (npx wrangler secret put OPENAI_API_KEY), or pass --with-simulator to use the built-in simulator.";

/** Cloudflare's limit for one variable or secret. */
const VARIABLE_BYTES = 5 * 1_024;

function tooLarge(vars: Deployment["vars"]): string[] {
  return Object.entries(vars).flatMap(([name, { value }]) => {
    const bytes = Buffer.byteLength(value);
    if (bytes <= VARIABLE_BYTES) return [];
    const way = isOfKeys(name) ? "Put the rest of the list into SLUICE_KEYS_2, SLUICE_KEYS_3 …" : "Shorten it.";
    return [`${name} has ${bytes} bytes, but Cloudflare allows ${VARIABLE_BYTES} per variable. ${way}`];
  });
}

function malformed(vars: Deployment["vars"]): string[] {
  try {
    readSettings(Object.fromEntries(Object.entries(vars).map(([name, { value }]) => [name, value])));
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

function whyUnlisted({ message }: Error): string {
  if (/API_TOKEN|not logged in|authenticat|login/i.test(message)) {
    return "Not logged in to Cloudflare, so the stored secrets cannot be checked. Run npx wrangler login, or set CLOUDFLARE_API_TOKEN.";
  }
  if (/10007|not found|does not exist/i.test(message)) {
    return "The Worker does not exist yet. Set its secrets first, which creates it: npx wrangler secret put SLUICE_KEYS (and OPENAI_API_KEY); or pass --secrets-file FILE.";
  }
  return `The stored secrets cannot be listed. ${message}`;
}
