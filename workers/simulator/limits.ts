import type { Limits } from "./catalog.ts";
import { formatDuration } from "./duration.ts";
import { openAiError, type Problem } from "./errors.ts";
import { covers, type Meter, openMeter, refill, remaining, resetMs, spend, used, waitFor } from "./meter.ts";

export interface LimitSettings {
  /** By model name; a name that ends in `*` is one bucket for all the models that it matches. */
  limits: Record<string, Limits>;
  /** Seconds' worth of a limit that may be spent at once; 60 is the whole of a limit per minute. */
  burstSeconds: number;
  countRejected: boolean;
}

export type Kind = "requests" | "tokens";
export type Admission = { ok: true } | { ok: false; kind: Kind; problem: Problem };

interface Gate {
  kind: Kind;
  unit: string;
  meter: Meter;
}

interface Pool {
  limits: Limits;
  gates: Gate[];
}

const DAY_SECONDS = 86_400;

export class Limiter {
  private readonly pools = new Map<string, Pool>();
  private settings: LimitSettings;

  constructor(settings: LimitSettings) {
    this.settings = settings;
  }

  /** Charges one request and `tokens` tokens, or says why not; the first limit that is hit wins, as at OpenAI. */
  admit(model: string, fallback: Limits, tokens: number, now: number): Admission {
    const { gates } = this.pool(model, fallback, now);
    for (const gate of gates) {
      const amount = gate.kind === "requests" ? 1 : tokens;
      if (covers(gate.meter, amount)) continue;
      if (this.settings.countRejected) for (const { kind, meter } of gates) if (kind === "requests") spend(meter, 1);
      return { ok: false, kind: gate.kind, problem: refuse(model, gate, amount) };
    }
    for (const { kind, meter } of gates) spend(meter, kind === "requests" ? 1 : tokens);
    return { ok: true };
  }

  headers(model: string, fallback: Limits, now: number): Record<string, string> {
    const { gates } = this.pool(model, fallback, now);
    return { ...describe("requests", gates), ...describe("tokens", gates) };
  }

  /** New limits keep what has been spent: a full bucket stays full. */
  configure(settings: LimitSettings, now: number): void {
    for (const pool of this.pools.values()) for (const { meter } of pool.gates) refill(meter, now);
    this.settings = settings;
  }

  private pool(model: string, fallback: Limits, now: number): Pool {
    const { key, limits } = limitsFor(model, fallback, this.settings.limits);
    let pool = this.pools.get(key);
    for (const { meter } of pool?.gates ?? []) refill(meter, now);
    if (pool === undefined || pool.limits !== limits) {
      pool = openPool(limits, this.settings.burstSeconds, now, pool);
      this.pools.set(key, pool);
    }
    return pool;
  }
}

/** Exact name, then the longest matching `prefix*`, then `default`, then what the model comes with. */
export function limitsFor(model: string, fallback: Limits, table: Record<string, Limits>): { key: string; limits: Limits } {
  let key = model;
  if (!Object.hasOwn(table, model)) {
    const patterns = Object.keys(table).filter((name) => name.endsWith("*") && model.startsWith(name.slice(0, -1)));
    key = patterns.sort((left, right) => right.length - left.length)[0] ?? model;
  }
  const limits = table[key] ?? table.default ?? fallback;
  return { key: limits.family ?? key, limits };
}

function openPool(limits: Limits, burstSeconds: number, now: number, before: Pool | undefined): Pool {
  const gates: Gate[] = [];
  const open = (kind: Kind, unit: string, limit: number | undefined, windowSeconds: number, burst: number) => {
    if (limit === undefined) return;
    const meter = openMeter(limit, windowSeconds, burst, now);
    const old = before?.gates.find((gate) => gate.unit === unit)?.meter;
    if (old !== undefined) spend(meter, old.capacity - old.level);
    gates.push({ kind, unit, meter });
  };
  open("requests", "requests per min (RPM)", limits.rpm, 60, burstSeconds);
  open("requests", "requests per day (RPD)", limits.rpd, DAY_SECONDS, DAY_SECONDS);
  open("tokens", "tokens per min (TPM)", limits.tpm, 60, burstSeconds);
  open("tokens", "tokens per day (TPD)", limits.tpd, DAY_SECONDS, DAY_SECONDS);
  return { limits, gates };
}

/** Where a model has a limit per day, OpenAI's one pair of headers shows that one: hence the last gate of the kind. */
function describe(kind: Kind, gates: Gate[]): Record<string, string> {
  const meter = gates.findLast((gate) => gate.kind === kind)!.meter;
  return {
    [`x-ratelimit-limit-${kind}`]: String(meter.limit),
    [`x-ratelimit-remaining-${kind}`]: String(remaining(meter)),
    [`x-ratelimit-reset-${kind}`]: formatDuration(resetMs(meter)),
  };
}

const LEARN_MORE = "Visit https://platform.openai.com/account/rate-limits to learn more.";

function refuse(model: string, { kind, unit, meter }: Gate, amount: number): Problem {
  const where = `${model} in organization org-sim on ${unit}`;
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
