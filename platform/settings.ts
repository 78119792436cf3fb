/** The environment, checked once at the door. Nothing deeper sees `env`, and the OpenAI key is not in here. */
import { z } from "zod";
import { KeyConfig, KeysConfig, PoolsConfig, type Role, TimeoutsConfig } from "../schemas/settings.ts";

export type Tenant = { weight: number; rpm: number | null; tpm: number | null; maxQueued: number | null };
export type Key = {
  tenant: string;
  roles: readonly Role[];
  models: readonly string[] | null;
  /** What to do with a call whose caller has gone. */
  onDisconnect: "cancel" | "keep";
};

export type Settings = {
  /** Started by `npm start`: development keys are accepted, and the simulator can be inspected. */
  local: boolean;
  pools: PoolsConfig;
  /** By SHA-256 in hexadecimal. */
  keys: ReadonlyMap<string, Key>;
  tenants: ReadonlyMap<string, Tenant>;
  /** By tenant: the signing secrets of all of its keys. Never empty, never shown. */
  webhookSecrets: ReadonlyMap<string, readonly string[]>;
  timeouts: TimeoutsConfig;
  /** Signs browser tokens; null: there are none. */
  tokenSecret: string | null;
  /** URL that is told of what needs an operator; null: only the log. Secret, as such URLs are. */
  alertUrl: string | null;
  /** An endpoint other than OpenAI's; may contain a name and a password. */
  baseUrl: string | null;
  /** Location hint of the coordinator and the dispatchers. */
  region: string;
  maxDispatchers: number;
  retentionMs: number;
};

/** DEVELOPMENT SECRET: signs the webhooks of the development keys' tenants. Everybody knows it, so it proves nothing. */
export const DEVELOPMENT_WEBHOOK_SECRET = "whsec_c2x1aWNlIGRldmVsb3BtZW50IHNlY3JldA==";

/** DEVELOPMENT KEYS: `sk-dev-alice`, `sk-dev-bob`, `sk-dev-operator`. Never accepted outside local mode. */
const DEVELOPMENT_KEYS: z.input<typeof KeyConfig>[] = [
  {
    key_sha256: "c654d38ddccf90ce8e80f52254753cb6b19682349d920e558059f7be2a89c6d3",
    tenant: "alice",
    roles: ["submit", "read"],
    webhook_secrets: [DEVELOPMENT_WEBHOOK_SECRET],
  },
  {
    key_sha256: "f9f237d25bb4e9595bb5fd0899929eb4d46acfc566db330e35f9e9e0c650dd6c",
    tenant: "bob",
    roles: ["submit", "read"],
    webhook_secrets: [DEVELOPMENT_WEBHOOK_SECRET],
  },
  { key_sha256: "2f27aea18d89993d97bce7f89ac8cdade8001be5e02cdc1d33996830e2402109", tenant: "operator", roles: ["operate"] },
];

/** DEVELOPMENT SECRET: everybody knows it. Never accepted outside local mode. */
const DEVELOPMENT_TOKEN_SECRET = "sluice-development-token-secret-known-to-everybody";
/** HS256 requires a key at least as long as its hash. */
const TOKEN_SECRET_CHARACTERS = 32;

/** Location hints of Durable Objects. The platform accepts any other text, and ignores it. */
const REGIONS: readonly string[] = ["wnam", "enam", "sam", "weur", "eeur", "apac", "apac-ne", "apac-se", "oc", "afr", "me"];

const PLAIN_TENANT: Tenant = { weight: 1, rpm: null, tpm: null, maxQueued: null };

/** A variable is malformed. The message is logged: it names the variable, and never repeats a secret. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/** @throws SettingsError */
export function readSettings(env: Record<string, unknown>): Settings {
  const local = env.SLUICE_LOCAL === "1";
  const keys = readKeys(env);
  const all = local ? [...z.array(KeyConfig).parse(DEVELOPMENT_KEYS), ...keys] : keys;
  return {
    local,
    pools: parse("SLUICE_POOLS", env.SLUICE_POOLS, PoolsConfig, { default: { rpm: 500, tpm: 200_000 } }),
    keys: new Map(all.map((key) => [key.key_sha256.toLowerCase(), keyOf(key)])),
    tenants: tenantsOf(all),
    webhookSecrets: secretsOf(all),
    timeouts: parse("SLUICE_TIMEOUTS", env.SLUICE_TIMEOUTS, TimeoutsConfig, {}),
    tokenSecret: readTokenSecret(env.SLUICE_TOKEN_SECRET, local),
    alertUrl: readAlertUrl(env.SLUICE_ALERT_URL, local),
    baseUrl: readBaseUrl(env.OPENAI_BASE_URL),
    region: readRegion(env.SLUICE_REGION),
    maxDispatchers: whole("SLUICE_MAX_DISPATCHERS", env.SLUICE_MAX_DISPATCHERS, 128),
    retentionMs: number("SLUICE_RETENTION_HOURS", env.SLUICE_RETENTION_HOURS, 72) * 3_600_000,
  };
}

/** Cloudflare takes 5 KB in a variable or secret, which some thirty keys fill: `SLUICE_KEYS_2` and so on hold the rest. */
export const isOfKeys = (name: string): boolean => /^SLUICE_KEYS(_\d+)?$/.test(name);

/** Reads all of them as if they were one list. */
function readKeys(env: Record<string, unknown>): KeyConfig[] {
  const names = Object.keys(env).filter(isOfKeys).sort();
  const lists = names.map((name) => parse(name, env[name], KeysConfig, []));
  // Each is valid by itself: what is wrong now is between two of them.
  return lists.length > 1 ? parse(names.join(" and "), lists.flat(), KeysConfig, []) : lists.flat();
}

function keyOf({ tenant, roles, models, on_disconnect }: KeyConfig): Key {
  return { tenant, roles, models, onDisconnect: on_disconnect };
}

/** What any of a tenant's keys says. It has been checked that none disagree. */
function tenantsOf(keys: readonly KeyConfig[]): Map<string, Tenant> {
  const tenants = new Map<string, Tenant>();
  for (const { tenant, weight, rpm, tpm, max_queued } of keys) {
    const known = tenants.get(tenant) ?? PLAIN_TENANT;
    const maxQueued = max_queued ?? known.maxQueued;
    tenants.set(tenant, { weight: weight ?? known.weight, rpm: rpm ?? known.rpm, tpm: tpm ?? known.tpm, maxQueued });
  }
  return tenants;
}

function secretsOf(keys: readonly KeyConfig[]): Map<string, string[]> {
  const secrets = new Map<string, string[]>();
  for (const { tenant, webhook_secrets } of keys) {
    if (webhook_secrets.length > 0) secrets.set(tenant, [...new Set([...(secrets.get(tenant) ?? []), ...webhook_secrets])]);
  }
  return secrets;
}

export function tenantOf(settings: Settings, tenant: string): Tenant {
  return settings.tenants.get(tenant) ?? PLAIN_TENANT;
}

function readTokenSecret(value: unknown, local: boolean): string | null {
  const secret = text(value);
  if (secret === null) return local ? DEVELOPMENT_TOKEN_SECRET : null;
  if (secret.length < TOKEN_SECRET_CHARACTERS)
    throw new SettingsError(`SLUICE_TOKEN_SECRET must have at least ${TOKEN_SECRET_CHARACTERS} characters.`);
  if (!local && secret === DEVELOPMENT_TOKEN_SECRET)
    throw new SettingsError("SLUICE_TOKEN_SECRET is the development secret, which is public. Set another.");
  return secret;
}

function readAlertUrl(value: unknown, local: boolean): string | null {
  const url = text(value);
  if (url === null) return null;
  const { protocol } = URL.parse(url) ?? {};
  if (protocol !== "https:" && !(local && protocol === "http:")) throw new SettingsError("SLUICE_ALERT_URL must be an https URL.");
  return url;
}

/** The error does not repeat the URL, which may contain a password. */
function readBaseUrl(value: unknown): string | null {
  const url = text(value);
  if (url === null) return null;
  const { protocol } = URL.parse(url) ?? {};
  if (protocol !== "https:" && protocol !== "http:")
    throw new SettingsError("OPENAI_BASE_URL must be a complete URL that begins with http:// or https://.");
  return url;
}

function readRegion(value: unknown): string {
  const region = text(value) ?? REGIONS[0]!;
  if (!REGIONS.includes(region))
    throw new SettingsError(`SLUICE_REGION must be one of Cloudflare's location hints: ${REGIONS.join(", ")}.`);
  return region;
}

/** A variable that is set and not blank. */
export function text(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : null;
}

function number(name: string, value: unknown, fallback: number): number {
  if ((value ?? null) === null || (typeof value === "string" && text(value) === null)) return fallback;
  // wrangler.toml gives numbers as numbers.
  const parsed = typeof value === "number" || typeof value === "string" ? Number(value) : Number.NaN;
  if (!(parsed > 0 && Number.isFinite(parsed))) throw new SettingsError(`${name} must be a number above 0.`);
  return parsed;
}

function whole(name: string, value: unknown, fallback: number): number {
  const parsed = number(name, value, fallback);
  if (!Number.isInteger(parsed)) throw new SettingsError(`${name} must be a whole number above 0.`);
  return parsed;
}

function parse<S extends z.ZodType>(name: string, value: unknown, schema: S, fallback: z.input<S>): z.output<S> {
  let raw: unknown = value ?? null;
  try {
    if (typeof raw === "string") raw = raw.trim() === "" ? null : JSON.parse(raw);
  } catch {
    throw new SettingsError(`${name} is not valid JSON.`);
  }
  const result = schema.safeParse(raw ?? fallback);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  // An unknown field may be a key put in the wrong place.
  const hidden = name.startsWith("SLUICE_KEYS") && issue?.code === "unrecognized_keys";
  const place = issue?.path.length ? `${issue.path.join(".")} ` : "";
  throw new SettingsError(`${name}: ${place}${(!hidden && issue?.message) || "has an unknown field"}`);
}
