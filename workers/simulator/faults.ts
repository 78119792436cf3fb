import { unknownModel } from "./catalog.ts";
import { incorrectKey, invalidRequest, openAiError, type Problem, serverError } from "./errors.ts";
import { Random } from "./random.ts";

/** Answered at the door: nothing is charged. */
export const REFUSALS = [
  "400",
  "401",
  "404",
  "429",
  "slow_down",
  "insufficient_quota",
  "credit_balance_exhausted",
  "organization_spend_limit_exceeded",
  "project_spend_limit_exceeded",
  "organization_usage_limit_exceeded",
] as const;
/** Happen to a request that was admitted, and so was charged. `break` is `truncate` with a broken connection in place of a clean end. */
export const BREAKAGES = ["500", "503", "reset", "hang", "slow_headers", "truncate", "break", "malformed", "stream_error"] as const;
export const FAULT_KINDS = [...REFUSALS, ...BREAKAGES] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface Fault {
  kind: FaultKind;
  /** How long `slow_headers` and `hang` last; real milliseconds, whatever the speed. */
  delayMs: number | undefined;
}

export interface FaultRule {
  kind: FaultKind;
  probability: number;
  /** Faults left to give; undefined is without end. */
  remaining: number | undefined;
  until: number | undefined;
  /** A model's name, or a prefix that ends in `*`. */
  model: string | undefined;
  delayMs: number | undefined;
}

/** What of a request chooses a fault. */
export interface Wish {
  header: string | null;
  headerDelay: string | null;
  metadata: Record<string, string>;
  model: string;
  /** Tells equal requests apart from others, for `simulate_fault_times`. */
  key: string;
}

// Requests whose faults are being counted; the oldest is forgotten first.
const MOST_COUNTED = 20_000;

export function isFaultKind(name: string): name is FaultKind {
  return (FAULT_KINDS as readonly string[]).includes(name);
}

/** Decides which call fails and how: what the request itself asks for goes before the rules. */
export class FaultBook {
  private rules: FaultRule[] = [];
  private random: Random;
  private readonly given = new Map<string, number>();

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  replace(rules: FaultRule[]): void {
    this.rules = rules.map((rule) => ({ ...rule }));
  }

  select(wish: Wish, now: number): Fault | undefined {
    if (wish.header !== null && isFaultKind(wish.header)) return { kind: wish.header, delayMs: asMs(wish.headerDelay) };
    const { simulate_fault: kind, simulate_fault_times: times, simulate_delay_ms: delay } = wish.metadata;
    if (kind !== undefined && isFaultKind(kind) && this.takeTurn(wish.key, times)) return { kind, delayMs: asMs(delay ?? null) };
    return this.byRule(wish.model, now);
  }

  private takeTurn(key: string, times: string | undefined): boolean {
    if (times === undefined) return true;
    const count = this.given.get(key) ?? 0;
    if (count >= Number(times)) return false;
    if (count === 0 && this.given.size >= MOST_COUNTED) this.given.delete(this.given.keys().next().value!);
    this.given.set(key, count + 1);
    return true;
  }

  private byRule(model: string, now: number): Fault | undefined {
    for (const rule of this.rules) {
      if (rule.remaining === 0 || (rule.until !== undefined && now >= rule.until) || !concerns(rule, model)) continue;
      if (rule.probability < 1 && this.random.next() >= rule.probability) continue;
      if (rule.remaining !== undefined) rule.remaining--;
      return { kind: rule.kind, delayMs: rule.delayMs };
    }
    return undefined;
  }
}

function concerns({ model: pattern }: FaultRule, model: string): boolean {
  if (pattern === undefined) return true;
  return pattern.endsWith("*") ? model.startsWith(pattern.slice(0, -1)) : model === pattern;
}

function asMs(text: string | null): number | undefined {
  const value = Number(text ?? Number.NaN);
  return value >= 0 ? value : undefined;
}

const BILLING = "For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.";

/** The answer that a fault is, where it is an answer of its own; undefined for those that spoil an answer under way. */
export function problemFor(kind: FaultKind, model: string): Problem | undefined {
  switch (kind) {
    case "400":
      return invalidRequest("Invalid request (simulated).", null, null);
    case "401":
      return incorrectKey("sk-simulated");
    case "404":
      return unknownModel(model);
    case "429": {
      const message = `Rate limit reached for ${model} in organization org-sim on requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms.`;
      return { ...openAiError(429, message, "requests", "rate_limit_exceeded"), retryAfterMs: 120 };
    }
    case "slow_down": {
      const message = "Slow down: the rate of requests grew too fast. Please reduce it to its earlier level, then increase it gradually.";
      return { ...openAiError(429, message, "rate_limit_error", "slow_down"), retryAfterMs: 2000 };
    }
    case "insufficient_quota":
    case "credit_balance_exhausted":
    case "organization_spend_limit_exceeded":
    case "project_spend_limit_exceeded":
    case "organization_usage_limit_exceeded": {
      const message = `You exceeded your current quota, please check your plan and billing details. ${BILLING}`;
      return openAiError(429, message, "insufficient_quota", kind);
    }
    case "500":
      return serverError();
    case "503":
      return openAiError(
        503,
        "The server is currently overloaded. Please try again later.",
        "service_unavailable_error",
        "server_is_overloaded",
      );
    default:
      return undefined;
  }
}
