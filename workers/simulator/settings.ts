import { z } from "zod";
import { findModel } from "./catalog.ts";
import { FAULT_KINDS, type FaultRule } from "./faults.ts";
import type { ForeignStream } from "./foreign.ts";
import { BILLING_CODES } from "./problems.ts";

const limits = z.strictObject({
  rpm: z.number().positive(),
  tpm: z.number().positive(),
  rpd: z.number().positive().optional(),
  tpd: z.number().positive().optional(),
  project_tpm: z.number().positive().optional(),
  family: z.string().optional(),
});
/** 0 (or "instant") means that nothing takes any time; JSON has no Infinity. */
const speed = z.union([z.number().min(0), z.literal("instant").transform(() => 0), z.literal("Infinity").transform(() => 0)]);
const seconds = z.number().min(0).max(86_400);

const faultRule = z.strictObject({
  kind: z.enum(FAULT_KINDS),
  probability: z.number().min(0).max(1).default(1),
  remaining: z.int().min(0).optional(),
  until_ms_from_now: z.number().min(0).optional(),
  model: z.string().optional(),
  delay_ms: z.number().min(0).optional(),
  should_retry: z.boolean().optional(),
});

const foreignStream = z
  .strictObject({
    model: z.string().refine((name) => findModel(name) !== undefined, "no such model"),
    rpm: z.number().min(1).max(60_000),
    tpm: z.number().min(0),
    ramp_seconds: seconds.default(0),
    on_seconds: seconds.default(0),
    off_seconds: seconds.default(0),
    for_seconds: seconds.optional(),
    other_project: z.boolean().default(false),
  })
  .refine(({ on_seconds, off_seconds }) => off_seconds === 0 || on_seconds >= 1, "off_seconds requires on_seconds to be at least 1");

const growthRule = z.strictObject({
  above_tpm: z.number().positive().default(1_000_000),
  by: z.number().positive().default(0.5),
  per_seconds: z.number().positive().default(900),
});

const switches = {
  limits: z.record(z.string(), limits),
  speed,
  seed: z.int(),
  charge: z.enum(["max", "sum"]),
  refund: z.boolean(),
  burst_seconds: z.number().positive(),
  count_rejected: z.boolean(),
  /** Everything due within this many ms of stream time goes out in one piece; one timer per token would cost too much at a thousand streams. */
  flush_ms: z.number().min(0),
  quantised: z.boolean(),
  windows: z.boolean(),
  rate_headers: z.enum(["all", "answers", "none"]),
  growth_rule: growthRule.nullable(),
  billing_halt: z.enum(BILLING_CODES).nullable(),
  faults: z.array(faultRule),
  foreign: z.array(foreignStream),
};
const step = z.strictObject({ ...z.strictObject(switches).partial().shape, ramp_seconds: seconds.optional(), after_seconds: seconds });
const schedule = z.array(step);
const settings = z.strictObject({ ...switches, schedule });
const control = z.strictObject({ ...switches, schedule, ramp_seconds: seconds, reset: z.boolean() }).partial();

export type Settings = z.infer<typeof settings>;
export type Control = z.infer<typeof control>;

const DEFAULTS: Settings = {
  limits: {},
  speed: 1,
  seed: 1,
  charge: "max",
  refund: false,
  burst_seconds: 60,
  count_rejected: false,
  flush_ms: 20,
  quantised: false,
  windows: false,
  rate_headers: "all",
  growth_rule: null,
  billing_halt: null,
  faults: [],
  foreign: [],
  schedule: [],
};

/** From the environment: a JSON string, an object (wrangler's vars may be one), or nothing. */
export function parseSettings(source: unknown): Settings {
  const value = typeof source === "string" && source.trim() !== "" ? JSON.parse(source) : source || {};
  return { ...DEFAULTS, ...present(settings.partial().parse(value)) };
}

export function parseControl(body: unknown): { ok: true; control: Control } | { ok: false; message: string } {
  const parsed = control.safeParse(body);
  return parsed.success ? { ok: true, control: parsed.data } : { ok: false, message: z.prettifyError(parsed.error) };
}

/** Drops undefined values, which would overwrite others when spread. */
export function present<T extends object>(values: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

export function rulesFrom(faults: Settings["faults"], now: number): FaultRule[] {
  return faults.map(({ kind, probability, remaining, until_ms_from_now, model, delay_ms, should_retry }) => {
    const until = until_ms_from_now === undefined ? undefined : now + until_ms_from_now;
    return { kind, probability, remaining, until, model, delayMs: delay_ms, shouldRetry: should_retry };
  });
}

export function foreignFrom(foreign: Settings["foreign"], now: number): ForeignStream[] {
  return foreign.map(({ model, rpm, tpm, ramp_seconds, on_seconds, off_seconds, for_seconds, other_project }) => ({
    ...{ model, rpm, tpm, from: now, until: now + (for_seconds ?? Infinity) * 1000 },
    ...{ rampMs: ramp_seconds * 1000, onMs: on_seconds * 1000, offMs: off_seconds * 1000, elsewhere: other_project },
  }));
}
