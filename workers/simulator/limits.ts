import type { Limits } from "./catalog.ts";
import { formatDuration } from "./duration.ts";
import { openAiError, type Problem } from "./errors.ts";
import {
  covers,
  giveBack,
  type Meter,
  openMeter,
  openTick,
  openWindow,
  refill,
  remaining,
  resetMs,
  spend,
  used,
  waitFor,
} from "./meter.ts";

export interface LimitSettings {
  /** By model name; a name that ends in `*` is one bucket for all models that match it. */
  limits: Record<string, Limits>;
  /** Seconds' worth of a limit that may be spent at once; 60 is a whole per-minute limit. */
  burstSeconds: number;
  countRejected: boolean;
  /** Requests per minute are also dealt out second by second. */
  quantised: boolean;
  /** Limits are counted from zero in each minute and each day, instead of refilling continuously. */
  windows: boolean;
}

export type Kind = "requests" | "tokens";
export type Verdict = { ok: true } | { ok: false; kind: Kind; problem: Problem };

interface Gate {
  name: "second" | Exclude<keyof Limits, "family">;
  kind: Kind;
  unit: string;
  meter: Meter;
}

interface Pool {
  /** The model that opened the pool. */
  model: string;
  fallback: Limits;
  limits: Limits;
  settings: LimitSettings;
  gates: Gate[];
}

const DAY_SECONDS = 86_400;

export class Limiter {
  private readonly pools = new Map<string, Pool>();
  private settings: LimitSettings;

  constructor(settings: LimitSettings) {
    this.settings = settings;
  }

  /**
   * Charges one request and `tokens` tokens, or says why not; the first limit that is hit wins, as at OpenAI. `elsewhere`: the call belongs to another project.
   */
  admit(model: string, fallback: Limits, tokens: number, now: number, elsewhere = false): Verdict {
    const gates = this.pool(model, fallback, now).gates.filter(({ name }) => !elsewhere || name !== "project_tpm");
    for (const gate of gates) {
      const amount = gate.kind === "requests" ? 1 : tokens;
      if (covers(gate.meter, amount)) continue;
      if (this.settings.countRejected) for (const { kind, meter } of gates) if (kind === "requests") spend(meter, 1);
      return { ok: false, kind: gate.kind, problem: refuse(model, gate, amount) };
    }
    for (const { kind, meter } of gates) spend(meter, kind === "requests" ? 1 : tokens);
    return { ok: true };
  }

  refund(model: string, fallback: Limits, tokens: number, now: number): void {
    for (const { kind, meter } of this.pool(model, fallback, now).gates) if (kind === "tokens") giveBack(meter, tokens);
  }

  headers(model: string, fallback: Limits, now: number): Record<string, string> {
    const { gates } = this.pool(model, fallback, now);
    const project = gates.filter(({ name }) => name === "project_tpm");
    const organisation = gates.filter(({ name }) => name !== "project_tpm");
    return { ...describe("requests", organisation), ...describe("tokens", organisation), ...describe("tokens", project, "project-tokens") };
  }

  /** New limits keep what has been spent: a full bucket stays full. */
  configure(settings: LimitSettings, now: number): void {
    for (const pool of this.pools.values()) for (const { meter } of pool.gates) refill(meter, now);
    this.settings = settings;
    // Reopened at once, so that they refill at the new rate from now on, whether or not anybody calls.
    for (const { model, fallback } of [...this.pools.values()]) this.pool(model, fallback, now);
  }

  private pool(model: string, fallback: Limits, now: number): Pool {
    const { key, limits } = limitsFor(model, fallback, this.settings.limits);
    let pool = this.pools.get(key);
    for (const { meter } of pool?.gates ?? []) refill(meter, now);
    if (pool === undefined || pool.limits !== limits || pool.settings !== this.settings) {
      pool = { model, fallback, limits, settings: this.settings, gates: openGates(limits, this.settings, now, pool) };
      this.pools.set(key, pool);
    }
    return pool;
  }
}

/** Exact name, then the longest matching `prefix*`, then `default`, then the model's own limits. */
export function limitsFor(model: string, fallback: Limits, table: Record<string, Limits>): { key: string; limits: Limits } {
  let key = model;
  if (!Object.hasOwn(table, model)) {
    const patterns = Object.keys(table).filter((name) => name.endsWith("*") && model.startsWith(name.slice(0, -1)));
    key = patterns.sort((left, right) => right.length - left.length)[0] ?? model;
  }
  const limits = table[key] ?? table.default ?? fallback;
  return { key: limits.family ?? key, limits };
}

function openGates(limits: Limits, settings: LimitSettings, now: number, before: Pool | undefined): Gate[] {
  const gates: Gate[] = [];
  const open = (name: Gate["name"], kind: Kind, unit: string, meter: Meter) => {
    const old = before?.gates.find((gate) => gate.name === name)?.meter;
    if (old !== undefined) spend(meter, old.capacity - old.level);
    gates.push({ name, kind, unit, meter });
  };
  const { project_tpm, rpm, rpd, tpm, tpd } = limits;
  const { burstSeconds, quantised, windows } = settings;
  const minute = (limit: number) => (windows ? openWindow(limit, 60, now) : openMeter(limit, 60, burstSeconds, now));
  const day = (limit: number) => (windows ? openWindow(limit, DAY_SECONDS, now) : openMeter(limit, DAY_SECONDS, DAY_SECONDS, now));
  if (quantised) open("second", "requests", "requests per min (RPM)", openTick(rpm, now));
  open("rpm", "requests", "requests per min (RPM)", minute(rpm));
  if (rpd !== undefined) open("rpd", "requests", "requests per day (RPD)", day(rpd));
  open("tpm", "tokens", "tokens per min (TPM)", minute(tpm));
  if (tpd !== undefined) open("tpd", "tokens", "tokens per day (TPD)", day(tpd));
  if (project_tpm !== undefined) open("project_tpm", "tokens", "tokens per min (TPM)", minute(project_tpm));
  return gates;
}

/** OpenAI has one pair of headers per kind, and shows the daily limit where a model has one: hence the last gate of the kind. */
function describe(kind: Kind, gates: Gate[], as: string = kind): Record<string, string> {
  const meter = gates.findLast((gate) => gate.kind === kind)?.meter;
  if (meter === undefined) return {};
  return {
    [`x-ratelimit-limit-${as}`]: String(meter.limit),
    [`x-ratelimit-remaining-${as}`]: String(remaining(meter)),
    [`x-ratelimit-reset-${as}`]: formatDuration(resetMs(meter)),
  };
}

const LEARN_MORE = "Visit https://platform.openai.com/account/rate-limits to learn more.";

function refuse(model: string, { kind, meter, name, unit }: Gate, amount: number): Problem {
  const whose = name === "project_tpm" ? "project proj-sim" : "organization org-sim";
  const where = `${model} in ${whose} on ${unit}`;
  if (amount > meter.capacity) {
    const advice = "The input or output tokens must be reduced in order to run successfully.";
    const message = `Request too large for ${where}: Limit ${Math.floor(meter.capacity)}, Requested ${amount}. ${advice} ${LEARN_MORE}`;
    return openAiError(429, message, kind, "rate_limit_exceeded");
  }
  const retryAfterMs = Math.max(1, waitFor(meter, amount));
  const spent = `Limit ${Math.floor(meter.capacity)}, Used ${used(meter)}, Requested ${amount}`;
  const message = `Rate limit reached for ${where}: ${spent}. Please try again in ${formatDuration(retryAfterMs)}. ${LEARN_MORE}`;
  return { ...openAiError(429, message, kind, "rate_limit_exceeded"), retryAfterMs };
}
