/**
 * Above a million input tokens a minute, OpenAI wants traffic to grow by at most half in a quarter of an hour, and answers `slow_down` otherwise
 * (developers.openai.com, guide on rate limits). Law: what starts in an interval T is at most level × (T + half a minute), and the level
 * is at most the floor, or what was used in one of the last fifteen minutes plus that growth.
 *
 * A job is charged the estimate of its own prompt, never what others' prompts were; without an estimate, all that it reserves. What the call
 * reports corrects that.
 */
import type { PoolConfig } from "../schemas/settings.ts";
import { type Bucket, FULL, freeAt, giveBack, type Rate, readyAt as readyAtOf, spentAt, take } from "./bucket.ts";
import { AHEAD_MS } from "./ledger.ts";

/** Tokens are input tokens, levels are per minute. */
export type Ramp = {
  readonly floor: number;
  level: number;
  /** The present minute's number, and what was used in it: negative if calls of earlier minutes took less than they were charged. */
  minute: number;
  used: number;
  /** What earlier minutes used, newest first; each counts up to its level. */
  past: number[];
  /** What calls reserved lately, and how much of that was input: used to predict waits. */
  seen: { reserved: number; input: number };
  bucket: Bucket;
  /** The bucket as it was last written. */
  written: Bucket;
};

/** Older records have no `bucket`. */
export type RampRecord = Pick<Ramp, "minute" | "used" | "past" | "seen"> & { bucket?: Bucket };

const MINUTE_MS = 60_000;
const MINUTES = 15;
const GROWTH = 1.5;
/** The part of a level that may start at once. */
const BURST = 1 / 2;
/** How much of the earlier calls each call leaves in `seen`. */
const FADING = 0.95;

/** Whether a pool's limit is, or can be learned to be, above what may grow at will (`ramp_tpm`; null if upstream does not care). */
export function isGoverned({ learn, ramp_tpm, tpm }: Pick<PoolConfig, "learn" | "ramp_tpm" | "tpm">): boolean {
  const most = learn === false ? tpm : Math.max(tpm, learn.max_tpm ?? 0);
  return ramp_tpm !== null && most > ramp_tpm;
}

export function openRamp(floor: number): Ramp {
  return { floor, level: floor, minute: 0, used: 0, past: [], seen: { reserved: 0, input: 0 }, bucket: FULL, written: FULL };
}

/** Brings the level, which goes by whole minutes, up to `now`. True if it has changed. */
export function turn(ramp: Ramp, now: number): boolean {
  const minute = Math.floor(now / MINUTE_MS);
  const passed = minute - ramp.minute;
  if (passed <= 0) return false;
  const idle = new Array<number>(Math.min(passed - 1, MINUTES)).fill(0);
  ramp.past = [...idle, Math.max(0, Math.min(ramp.used, ramp.level)), ...ramp.past].slice(0, MINUTES);
  [ramp.minute, ramp.used] = [minute, 0];
  const before = ramp.level;
  ramp.level = levelOf(ramp);
  return ramp.level !== before;
}

/** When a job of this many input tokens may start, ms; not before `now`. */
export function readyAt(ramp: Ramp, input: number, now: number): number {
  return readyAtOf(ramp.bucket, rateOf(ramp), input, now);
}

export function start(ramp: Ramp, input: number, now: number): void {
  ramp.bucket = take(ramp.bucket, rateOf(ramp), input, now);
  ramp.used += input;
}

/** A call that was charged with `charged` input tokens at `since` (ms) reports `input`. */
export function settle(ramp: Ramp, charged: number, input: number, since: number, now: number): void {
  const beyond = input - charged;
  const rate = rateOf(ramp);
  ramp.bucket = beyond > 0 ? take(ramp.bucket, rate, beyond, now) : giveBack(ramp.bucket, rate, -beyond, since, now);
  ramp.used += beyond;
}

/** A call that had reserved this many tokens reports its input. */
export function learn({ seen }: Ramp, reserved: number, input: number): void {
  seen.reserved = seen.reserved * FADING + reserved;
  seen.input = seen.input * FADING + Math.min(input, reserved);
}

/** When the present level will have let through this many reserved tokens, ms. */
export function clearedAt(ramp: Ramp, reserved: number, now: number): number {
  const rate = rateOf(ramp);
  const { seen } = ramp;
  const input = seen.reserved > 0 ? (reserved * seen.input) / seen.reserved : reserved;
  const missing = input - freeAt(ramp.bucket, rate, now);
  return missing > 0 ? now + missing / rate.perMs : now;
}

/** Whether what is written still covers the truth; else it is to be written again. */
export function isCovered(ramp: Ramp, now: number): boolean {
  const rate = rateOf(ramp);
  return spentAt(ramp.written, rate, now) >= spentAt(ramp.bucket, rate, now);
}

/** What to write. It runs ahead of the truth by `aheadMs` of rate, as a budget's record does (policy/ledger.ts), so that not every start costs a row. */
export function recordOf(ramp: Ramp, now: number, aheadMs = AHEAD_MS): RampRecord {
  const { minute, used, past, seen } = ramp;
  const rate = rateOf(ramp);
  const { at, spent } = take(ramp.bucket, rate, rate.perMs * aheadMs, now);
  ramp.written = { at, spent };
  return { minute, used, past, seen: { ...seen }, bucket: ramp.written };
}

/** After a restart. An older record has no `seen`, and no `bucket`: nothing may then start at once, because what started before is not known. */
export function restore(ramp: Ramp, { bucket, minute, past, seen, used }: RampRecord, now: number): void {
  Object.assign(ramp, { minute, past, used, ...(seen && { seen }) });
  ramp.level = levelOf(ramp);
  turn(ramp, now);
  ramp.bucket = bucket ?? { spent: rateOf(ramp).burst, at: now };
  ramp.written = bucket ?? FULL;
}

function levelOf({ floor, past }: Ramp): number {
  return past.reduce((level, used, age) => Math.max(level, used * GROWTH ** ((age + 1) / MINUTES)), floor);
}

function rateOf({ level }: Ramp): Rate {
  return { perMs: level / MINUTE_MS, burst: level * BURST };
}
