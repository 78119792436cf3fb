/** Where `npm start` gets its settings from, and what they add up to. */
import { existsSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { z } from "zod";
import { readSettings } from "../platform/settings.ts";
import type { PoolsConfig } from "../schemas/settings.ts";
import { parseSettings } from "../workers/simulator/settings.ts";
import type { Variable } from "./runtime.ts";

export type Values = Record<string, string>;

/** Sluice's own names, which need not appear in wrangler.toml. */
const OURS = /^(SLUICE|SIMULATOR)_[A-Z0-9_]+$|^OPENAI_(API_KEY|BASE_URL)$/;
/** Only for the runner, or set by it; a Worker never gets them from outside. */
const RUNNER = new Set(["PORT", "HOST", "SLUICE_STATE", "SLUICE_DEV_KEYS", "SLUICE_LOCAL"]);

/** Process environment > .dev.vars > wrangler.toml. An empty value counts as unset, which allows switching off a lower source. */
export function gather(environment: NodeJS.ProcessEnv, devVars: Values, toml: Record<string, Variable>): Values {
  const values: Values = {};
  for (const [name, { value }] of Object.entries(toml)) values[name] = value;
  Object.assign(values, devVars);
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && (name in values || OURS.test(name) || RUNNER.has(name))) values[name] = value;
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim() !== ""));
}

export function readDevVars(path: string): Values {
  if (!existsSync(path)) return {};
  return Object.fromEntries(Object.entries(parseEnv(readFileSync(path, "utf8"))).map(([name, value]) => [name, value ?? ""]));
}

export type Plan = {
  port: number;
  host: string;
  state: string;
  developmentKeys: boolean;
  /** The development keys are accepted from other machines. */
  exposed: boolean;
  upstream: string;
  /** What the Worker gets. */
  vars: Values;
};

/** @param declared names that wrangler.toml gives a value: one that is switched off must be set to "", not left out. */
export function plan(values: Values, declared: readonly string[]): Plan {
  const host = values.HOST ?? "127.0.0.1";
  const exposed = !isLoopback(host);
  const developmentKeys = !exposed || values.SLUICE_DEV_KEYS === "1";
  if (!developmentKeys && values.SLUICE_KEYS === undefined) {
    throw new Error(
      `HOST=${host} is reachable from other machines: set SLUICE_KEYS, or SLUICE_DEV_KEYS=1 to accept the development keys from them.`,
    );
  }
  const vars: Values = Object.fromEntries(declared.map((name) => [name, ""]));
  for (const [name, value] of Object.entries(values)) if (!RUNNER.has(name)) vars[name] = value;
  if (developmentKeys) vars.SLUICE_LOCAL = "1";
  const { baseUrl, pools } = readSettings(vars);
  const upstream = upstreamOf(values.OPENAI_API_KEY, baseUrl);
  if (upstream === SIMULATOR) {
    vars.SLUICE_SIMULATOR = "1";
    vars.SIMULATOR_SETTINGS = simulatorSettings(values.SIMULATOR_SETTINGS, pools);
  }
  return {
    port: readPort(values.PORT, 8787),
    host,
    state: values.SLUICE_STATE ?? ".wrangler/state",
    developmentKeys,
    exposed: exposed && developmentKeys,
    upstream,
    vars,
  };
}

export function readPort(value: string | undefined, fallback: number): number {
  if (value === undefined || value.trim() === "") return fallback;
  const port = Number(value);
  if (!/^\d+$/.test(value.trim()) || port > 65_535) throw new Error(`PORT must be a whole number from 0 to 65535, not "${value}".`);
  return port;
}

/** Gives the simulated account the limits that the operator configured, unless told otherwise. */
export function simulatorSettings(given: string | undefined, pools: PoolsConfig): string {
  const limits: Record<string, object> = {};
  for (const [family, { models, rpm, tpm, rpd, tpd }] of Object.entries(pools)) {
    // The family makes a pool's models share one limit, as they do in the pool.
    const limit = { rpm, tpm, ...(rpd === null ? {} : { rpd }), ...(tpd === null ? {} : { tpd }), family };
    for (const pattern of models) limits[pattern] = limit;
    if (family === "default") limits.default = limit;
  }
  return JSON.stringify({ limits, ...checkSimulatorSettings(given) });
}

export function checkSimulatorSettings(given: string | undefined): object {
  try {
    parseSettings(given);
    return given === undefined ? {} : JSON.parse(given);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw new Error("SIMULATOR_SETTINGS is not valid JSON.");
    const issue = error.issues[0];
    throw new Error(`SIMULATOR_SETTINGS: ${issue?.path.join(".") ?? ""} ${issue?.message}`);
  }
}

const SIMULATOR = "the built-in simulator (set OPENAI_API_KEY for OpenAI itself)";

function upstreamOf(key: string | undefined, base: string | null): string {
  if (base !== null) return withoutSecrets(base);
  return key === undefined ? SIMULATOR : "https://api.openai.com/v1";
}

/** A base URL may contain a user name and a password. */
function withoutSecrets(base: string): string {
  const { origin, pathname } = new URL(base);
  return origin + pathname;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host);
}
