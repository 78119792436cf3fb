/** What is learned of a pool's limits, and within what: see learned.ts. */
import type { FullReading, LimitReading } from "../schemas/rate.ts";
import type { Limits, Resource } from "./budget.ts";
import type { BurstChange, BurstRecord } from "./burst.ts";
import type { DayRecord } from "./day.ts";
import type { Kind } from "./levels.ts";
import type { OwedRecord } from "./owed.ts";

export type Minutes = { rpm: number; tpm: number };
export type Days = { rpd: number | null; tpd: number | null };
/** `limits`: as configured. `most`: what a raised limit is followed to; of a day's null, or none, is no bound. `refund`: whether tokens that upstream no longer counts are spent again. */
export type Bounds = { limits: Limits & Minutes; most: Minutes & Partial<Days>; refund?: boolean };
/** What is written: limits that are not as configured, or are and were told (of more that is configured from then on upstream has still to tell), since when the minute's were asked for in vain, ms, and how much may be spent at once. One of old has the minute's limits alone. */
export type LearnedRecord = {
  rpm: number | null;
  tpm: number | null;
  rpd?: DayRecord;
  tpd?: DayRecord;
  asked?: Partial<Record<Kind, number>>;
  owed?: Record<Kind, OwedRecord | null>;
  burst?: Partial<Record<Kind, BurstRecord>>;
};
/** A limit that is followed from now on; null is none. */
export type LimitChange = { resource: Resource; from: number | null; to: number | null };
export type Change = LimitChange | BurstChange;

/** Of each kind the minute's limit, the day's, and the names that headers have for either. */
export const KINDS = [
  ["requests", "rpm", "rpd", ["requests"]],
  ["tokens", "tpm", "tpd", ["tokens", "projectTokens"]],
] as const;
export type Name = (typeof KINDS)[number][3][number];

/** Whether it tells what is left as well. */
export function isFull(told: LimitReading): told is FullReading {
  return told.remaining !== null;
}
