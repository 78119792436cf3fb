/** What is learned about a pool's limits, and within which bounds: see learned.ts. */
import type { FullReading, LimitReading } from "../schemas/rate.ts";
import type { Limits, Resource } from "./budget.ts";
import type { BurstChange, BurstRecord } from "./burst.ts";
import type { DayRecord } from "./day.ts";
import type { Kind } from "./levels.ts";
import type { OwedRecord } from "./owed.ts";

export type Minutes = { rpm: number; tpm: number };
export type Days = { rpd: number | null; tpd: number | null };
/**
 * `limits`: as configured. `most`: how far a raised limit is followed; for a day's limit, null or missing means no bound. `refund`: whether tokens that
 * upstream no longer counts are spent again.
 */
export type Bounds = { limits: Limits & Minutes; most: Minutes & Partial<Days>; refund?: boolean };
/**
 * What is stored: limits that differ from the configuration, or equal it but were reported by upstream (if more is configured later, upstream has to report
 * that first). `asked`: since when (ms) calls were taken without an answer that reports the minute's limit. `burst`: how much may be spent at once. Records of
 * older versions have the minute's limits only.
 */
export type LearnedRecord = {
  rpm: number | null;
  tpm: number | null;
  rpd?: DayRecord;
  tpd?: DayRecord;
  asked?: Partial<Record<Kind, number>>;
  owed?: Record<Kind, OwedRecord | null>;
  burst?: Partial<Record<Kind, BurstRecord>>;
};
/** A limit that has changed; null means no limit. */
export type LimitChange = { resource: Resource; from: number | null; to: number | null };
export type Change = LimitChange | BurstChange;

/** For each kind: the minute's limit, the day's limit, and the header names that can report either. */
export const KINDS = [
  ["requests", "rpm", "rpd", ["requests"]],
  ["tokens", "tpm", "tpd", ["tokens", "projectTokens"]],
] as const;
export type Name = (typeof KINDS)[number][3][number];

/** Whether the reading also says what is left. */
export function isFull(told: LimitReading): told is FullReading {
  return told.remaining !== null;
}
