/** When an event is sent again, and when it is given up: the schedule of the Standard Webhooks specification. */
import type { DeliveryStatus } from "../../schemas/webhook.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** After each failed attempt, ms until the next; the first is made at once. */
export const RETRY_DELAYS_MS = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
] as const;
/** From the first attempt to the last at most. The delays add up to some three and a half hours more: the last is cut short. */
export const RETRY_SPAN_MS = 72 * HOUR;
/** The part of a delay that chance may take off, so that events which failed together do not come back together. */
const JITTER = 0.1;
/** A receiver's `Retry-After` counts up to this, the longest delay of the schedule. */
const RETRY_AFTER_LIMIT_MS = 24 * HOUR;

/** A receiver's answer: its status (null if none came) and its `Retry-After`, ms. */
export type Answer = { status: number | null; retryAfterMs: number | null };

/** A run of attempts. `begunAt`: when the first was due, ms; `tries`: how many failed before this one. */
export type Run = { begunAt: number; tries: number };

export type Verdict = { status: Exclude<DeliveryStatus, "pending"> } | { status: "pending"; nextAt: number };

/** What becomes of a delivery after an attempt that ended at `now` (ms). `random` in [0, 1). */
export function afterDelivery({ status, retryAfterMs }: Answer, run: Run, now: number, random: number): Verdict {
  if (status !== null && status >= 200 && status < 300) return { status: "delivered" };
  if (status === 410) return { status: "disabled" };
  const delay = RETRY_DELAYS_MS[run.tries];
  const end = run.begunAt + RETRY_SPAN_MS;
  if (delay === undefined || now >= end) return { status: "failed" };
  const wished = Math.min(retryAfterMs ?? 0, RETRY_AFTER_LIMIT_MS);
  // Chance never cuts a receiver's wish short: only the end of the span does.
  const planned = Math.min(now + delay, end) - random * JITTER * delay;
  return { status: "pending", nextAt: Math.min(Math.max(planned, now + wished), end) };
}

/** `Retry-After` in ms: seconds, or an HTTP date, which `parse` turns into ms since the epoch (NaN if it is not one). Null if the header says nothing. */
export function retryAfterMs(header: string | null, now: number, parse: (date: string) => number): number | null {
  const text = header?.trim() ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * SECOND;
  const at = text === "" ? Number.NaN : parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
