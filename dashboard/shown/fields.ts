/** What operators may set for a pool or a tenant, as fields of a form. */
import type { PoolTuning, TenantTuning } from "../../schemas/tuning.ts";
import { count } from "./words.ts";

/** `none`: the word for null, if null may be set. `whole`: no fractions. */
export type Field = { key: string; label: string; none: string | null; whole: boolean };
export type Kind = "pool" | "tenant";
export type Values = Record<string, number | null | undefined>;
/** `field`: the one at fault. */
export type Read = { ok: true; set: Record<string, number | null> } | { ok: false; field: string; complaint: string };

const POOL: readonly ({ key: keyof PoolTuning } & Field)[] = [
  { key: "rpm", label: "Requests per minute", none: null, whole: false },
  { key: "tpm", label: "Tokens per minute", none: null, whole: false },
  { key: "rpd", label: "Requests per day", none: "none", whole: false },
  { key: "tpd", label: "Tokens per day", none: "none", whole: false },
  { key: "concurrency", label: "Concurrent calls", none: "none", whole: true },
  { key: "burst_seconds", label: "Burst (seconds of the rate)", none: "learned", whole: false },
];
const TENANT: readonly ({ key: keyof TenantTuning } & Field)[] = [
  { key: "weight", label: "Weight", none: null, whole: false },
  { key: "rpm", label: "Requests per minute", none: "none", whole: false },
  { key: "tpm", label: "Tokens per minute", none: "none", whole: false },
  { key: "max_queued", label: "Most waiting jobs", none: "none", whole: true },
];
export const FIELDS: Record<Kind, readonly Field[]> = { pool: POOL, tenant: TENANT };

export function wordOf({ none }: Field, value: number | null): string {
  return value === null ? (none ?? "none") : count(value);
}

/** The given settings in words; null if there are none. */
export function settingsOf(fields: readonly Field[], values: Values): string | null {
  const set = fields.flatMap((field) => {
    const value = values[field.key];
    return value === undefined ? [] : `${field.label.toLowerCase()} ${wordOf(field, value)}`;
  });
  return set.length > 0 ? `set by an operator: ${set.join(", ")}` : null;
}

/** Reads a form's texts, by field key. An empty one leaves its value unchanged. */
export function readFields(fields: readonly Field[], texts: Record<string, string>): Read {
  const set: Record<string, number | null> = {};
  for (const field of fields) {
    const text = (texts[field.key] ?? "").trim().toLowerCase();
    if (text === "") continue;
    const value = field.none !== null && text === field.none ? null : numberIn(text);
    if (value !== null && (!(value > 0) || (field.whole && !Number.isInteger(value)))) {
      const or = field.none === null ? "" : `, or "${field.none}"`;
      return { ok: false, field: field.key, complaint: `${field.label}: enter a ${field.whole ? "whole " : ""}number above 0${or}.` };
    }
    set[field.key] = value;
  }
  return { ok: true, set };
}

/** NaN if it is not a number. Thousands may be written as they are shown: 12,000. */
function numberIn(text: string): number {
  return /^\d{1,3}(,\d{3})+(\.\d+)?$|^\d+(\.\d+)?$/.test(text) ? Number(text.replaceAll(",", "")) : Number.NaN;
}
