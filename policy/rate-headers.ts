/**
 * What upstream's headers say about its limits (platform.openai.com/docs/guides/rate-limits, "Rate limits in headers"). Any of them
 * can be absent: nothing depends on them.
 */
import type { LimitReading, RateReading } from "../schemas/rate.ts";

/** A header by its lower-case name; null or undefined if it is absent. */
export type HeaderOf = (name: string) => string | null | undefined;

/** Units; a larger number is nobody's limit. */
const MOST = 1e12;
/** A day's window, and a day more. */
const LONGEST_MS = 2 * 86_400_000;

const UNIT_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;

/** A duration as Go writes it: `9ms`, `1.2s`, `6m0s`, `1h0m0s`. In ms; null if it is not one, or longer than two days. */
export function parseDuration(text: string | null | undefined): number | null {
  if (!text || text.length > 32 || !DURATION.test(text)) return null;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) ms += Number(amount) * UNIT_MS[unit!]!;
  return ms <= LONGEST_MS ? ms : null;
}

/** What an answer's headers say about requests and tokens; null if they say nothing about either. */
export function readRates(header: HeaderOf): RateReading | null {
  const requests = readLimit(header, "requests");
  const tokens = readLimit(header, "tokens");
  const projectTokens = readLimit(header, "project-tokens");
  return requests || tokens || projectTokens ? { requests, tokens, ...(projectTokens && { projectTokens }) } : null;
}

/**
 * Upstream's wish for silence: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date (RFC 9110, 10.2.3). In ms, null if there is none. `now` in ms.
 */
export function readRetryAfter(header: HeaderOf, parseDate: (text: string) => number, now: number): number | null {
  const ms = amount(header("retry-after-ms"));
  if (ms !== null) return Math.min(ms, LONGEST_MS);
  const after = header("retry-after");
  const seconds = amount(after);
  if (seconds !== null) return Math.min(seconds * 1_000, LONGEST_MS);
  // A date is recognised by its weekday: other text could be parsed as some year.
  const date = after && /^[A-Z][a-z]{2}, /.test(after) ? parseDate(after) : Number.NaN;
  return Number.isNaN(date) ? null : Math.min(Math.max(0, date - now), LONGEST_MS);
}

function readLimit(header: HeaderOf, of: string): LimitReading | null {
  const limit = amount(header(`x-ratelimit-limit-${of}`));
  const left = header(`x-ratelimit-remaining-${of}`);
  const remaining = amount(left);
  // Some upstreams send a limit of 0 or less to say that there is none.
  if (limit === null || limit <= 0 || (remaining === null && left?.trim() !== "-1")) return null;
  // Just after a cut, more can be left than the limit, or -1: the limit is true all the same.
  return {
    limit,
    remaining: remaining !== null && remaining <= limit ? remaining : null,
    resetMs: parseDuration(header(`x-ratelimit-reset-${of}`)),
  };
}

/** A number as headers write it, 0 or more; null for anything else, including -1. */
function amount(text: string | null | undefined): number | null {
  if (!text || !/^\d{1,15}(?:\.\d{1,6})?$/.test(text.trim())) return null;
  const number = Number(text);
  return number <= MOST ? number : null;
}
