import type { Problem } from "./errors.ts";
import { AT_THE_DOOR, FAILURES, IN_STREAM } from "./problems.ts";
import { Random } from "./random.ts";

const namesOf = <Name extends string>(table: Record<Name, unknown>) => Object.keys(table) as Name[];

/** Answered before admission: nothing is charged. */
export const REFUSALS = namesOf(AT_THE_DOOR);
/** Happen to an answer under way. `break` is `truncate` with a broken connection instead of a clean end. */
const SPOILS = ["truncate", "break", "malformed", ...namesOf(IN_STREAM)] as const;
/** Happen to a request that was admitted and therefore charged. */
export const BREAKAGES = [...namesOf(FAILURES), "reset", "hang", "slow_headers", ...SPOILS] as const;
export const FAULT_KINDS = [...REFUSALS, ...BREAKAGES] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];
/** How a stream goes wrong halfway. */
export type Spoil = (typeof SPOILS)[number];

export interface Fault {
  kind: FaultKind;
  /** How long `slow_headers` and `hang` last; real milliseconds, whatever the speed. */
  delayMs: number | undefined;
  /** `x-should-retry` of the fault's answer, if it has an answer of its own; undefined: no header. */
  shouldRetry: boolean | undefined;
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
  shouldRetry: boolean | undefined;
}

/** The parts of a request that determine its fault. */
export interface Wish {
  header: string | null;
  headerDelay: string | null;
  metadata: Record<string, string>;
  model: string;
  /** Tells equal requests from others, for `simulate_fault_times`. */
  key: string;
}

// Requests whose faults are being counted; the oldest is forgotten first.
const MOST_COUNTED = 20_000;

export function isFaultKind(name: string): name is FaultKind {
  return (FAULT_KINDS as readonly string[]).includes(name);
}

/** Decides which call fails and how: what the request itself asks for takes precedence over the rules. */
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
    const { simulate_fault: kind, simulate_fault_times: times, simulate_delay_ms: delay, simulate_should_retry: word } = wish.metadata;
    const shouldRetry = word === undefined ? undefined : word === "true";
    if (wish.header !== null && isFaultKind(wish.header)) return { kind: wish.header, delayMs: asMs(wish.headerDelay), shouldRetry };
    if (kind !== undefined && isFaultKind(kind) && this.takeTurn(wish.key, times)) {
      return { kind, delayMs: asMs(delay ?? null), shouldRetry };
    }
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
      return { kind: rule.kind, delayMs: rule.delayMs, shouldRetry: rule.shouldRetry };
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

/** The fault's answer, if it has one of its own; undefined for faults that spoil an answer under way. */
export function problemFor(kind: FaultKind, model: string): Problem | undefined {
  return refusalFor(kind, model) ?? lookUp(FAILURES, kind)?.(model);
}

/** Adds the fault's own `x-should-retry` to the answer. */
export function worded(problem: Problem, { shouldRetry }: Pick<Fault, "shouldRetry">): Problem {
  return shouldRetry === undefined ? problem : { ...problem, shouldRetry };
}

export function refusalFor(kind: FaultKind, model: string): Problem | undefined {
  return lookUp(AT_THE_DOOR, kind)?.(model);
}

/** What an `error` event in a stream says; undefined for streams that go wrong in other ways. */
export function streamProblem(kind: Spoil | undefined): Problem | undefined {
  return lookUp(IN_STREAM, kind ?? "")?.("");
}

export function spoilOf(fault: Fault | undefined): Spoil | undefined {
  return SPOILS.find((kind) => kind === fault?.kind);
}

type Make = (model: string) => Problem;

function lookUp(table: Record<string, Make>, kind: string): Make | undefined {
  return Object.hasOwn(table, kind) ? table[kind] : undefined;
}
