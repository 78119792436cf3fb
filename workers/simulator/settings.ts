import { z } from "zod";
import type { Limits } from "./catalog.ts";
import type { ChargeRule } from "./charge.ts";
import { FAULT_KINDS, type FaultRule } from "./faults.ts";

const limits = z.strictObject({
  rpm: z.number().positive(),
  tpm: z.number().positive(),
  rpd: z.number().positive().optional(),
  tpd: z.number().positive().optional(),
  family: z.string().optional(),
});
const limitTable = z.record(z.string(), limits);
/** 0 (or "instant") means that nothing takes any time; JSON has no Infinity. */
const speed = z.union([z.number().min(0), z.literal("instant").transform(() => 0), z.literal("Infinity").transform(() => 0)]);

const settings = z.strictObject({
  limits: limitTable.default({}),
  speed: speed.default(1),
  seed: z.int().default(1),
  charge: z.enum(["max", "sum"]).default("max"),
  burst_seconds: z.number().positive().default(60),
  count_rejected: z.boolean().default(false),
  /** What is due within this many ms of stream time goes out in one piece; one timer per token would cost too much at a thousand streams. */
  flush_ms: z.number().min(0).default(20),
});

export interface Settings {
  limits: Record<string, Limits>;
  speed: number;
  seed: number;
  charge: ChargeRule;
  burst_seconds: number;
  count_rejected: boolean;
  flush_ms: number;
}

/** From the environment: a JSON string, an object (wrangler's vars may be one), or nothing. */
export function parseSettings(source: unknown): Settings {
  const value = typeof source === "string" && source.trim() !== "" ? JSON.parse(source) : source || {};
  return settings.parse(value);
}

const faultRule = z.strictObject({
  kind: z.enum(FAULT_KINDS),
  probability: z.number().min(0).max(1).default(1),
  remaining: z.int().min(0).optional(),
  until_ms_from_now: z.number().min(0).optional(),
  model: z.string().optional(),
  delay_ms: z.number().min(0).optional(),
});

const control = z.strictObject({
  faults: z.array(faultRule).optional(),
  limits: limitTable.optional(),
  speed: speed.optional(),
  seed: z.int().optional(),
  charge: z.enum(["max", "sum"]).optional(),
  burst_seconds: z.number().positive().optional(),
  count_rejected: z.boolean().optional(),
  flush_ms: z.number().min(0).optional(),
  reset: z.boolean().optional(),
});

export type Control = z.infer<typeof control>;

export function parseControl(body: unknown): { ok: true; control: Control } | { ok: false; message: string } {
  const parsed = control.safeParse(body);
  return parsed.success ? { ok: true, control: parsed.data } : { ok: false, message: z.prettifyError(parsed.error) };
}

export function rulesFrom(faults: NonNullable<Control["faults"]>, now: number): FaultRule[] {
  return faults.map(({ kind, probability, remaining, until_ms_from_now, model, delay_ms }) => {
    const until = until_ms_from_now === undefined ? undefined : now + until_ms_from_now;
    return { kind, probability, remaining, until, model, delayMs: delay_ms };
  });
}
