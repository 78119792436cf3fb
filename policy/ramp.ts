/**
 * Above a million input tokens a minute, OpenAI wants traffic to grow by half in a quarter of an hour at the most, and answers `slow_down` else
 * (developers.openai.com, guide on rate limits). Law: what starts in an interval T is at most level × (T + half a minute), and the level
 * is at most the floor, or by that growth above what was used in a minute of the last fifteen.
 *
 * The coordinator knows what a job reserves, not how much of it is input: the share is learned from what calls report, beginning with all.
 */
import type { PoolConfig } from "../schemas/settings.ts";
import { type Bucket, FULL, freeAt, type Rate, readyAt as readyAtOf, take } from "./bucket.ts";

/** Tokens are input tokens, levels are by the minute. */
export type Ramp = {
  readonly floor: number;
  level: number;
  /** The present minute's number, and what it used. */
  minute: number;
  used: number;
  /** What the minutes before used, newest first; no more than their level counts. */
  past: number[];
  /** Of a reservation, the part that is input. */
  inputShare: number;
  bucket: Bucket;
};

export type RampRecord = Pick<Ramp, "minute" | "used" | "past" | "inputShare">;

const MINUTE_MS = 60_000;
const MINUTES = 15;
const GROWTH = 1.5;
/** Of a level, what may start at once. */
const BURST = 1 / 2;
/** Weight of a new measurement of the input's share. */
const SMOOTHING = 0.05;

/** Whether a pool can ever have more than may grow at will, and upstream cares. */
export function isGoverned({ learn, ramp_tpm, tpm }: Pick<PoolConfig, "learn" | "ramp_tpm" | "tpm">): boolean {
  const most = learn === false ? tpm : Math.max(tpm, learn.max_tpm ?? 0);
  return ramp_tpm !== null && most > ramp_tpm;
}

export function openRamp(floor: number): Ramp {
  return { floor, level: floor, minute: 0, used: 0, past: [], inputShare: 1, bucket: FULL };
}

/** The level goes by whole minutes. True if it has changed. */
export function turn(ramp: Ramp, now: number): boolean {
  const minute = Math.floor(now / MINUTE_MS);
  const passed = minute - ramp.minute;
  if (passed <= 0) return false;
  const idle = new Array<number>(Math.min(passed - 1, MINUTES)).fill(0);
  ramp.past = [...idle, Math.min(ramp.used, ramp.level), ...ramp.past].slice(0, MINUTES);
  [ramp.minute, ramp.used] = [minute, 0];
  const before = ramp.level;
  ramp.level = levelOf(ramp);
  return ramp.level !== before;
}

/** When a job that reserves so many tokens may start, ms; from `now` on. */
export function readyAt(ramp: Ramp, reserved: number, now: number): number {
  return readyAtOf(ramp.bucket, rateOf(ramp), reserved * ramp.inputShare, now);
}

export function start(ramp: Ramp, reserved: number, now: number): void {
  const tokens = reserved * ramp.inputShare;
  ramp.bucket = take(ramp.bucket, rateOf(ramp), tokens, now);
  ramp.used += tokens;
}

/** A call that had reserved so many tokens reports its prompt. */
export function learn(ramp: Ramp, reserved: number, promptTokens: number): void {
  if (reserved > 0) ramp.inputShare += (Math.min(1, promptTokens / reserved) - ramp.inputShare) * SMOOTHING;
}

/** When the present level has let through so many reserved tokens, ms. */
export function clearedAt(ramp: Ramp, reserved: number, now: number): number {
  const rate = rateOf(ramp);
  const missing = reserved * ramp.inputShare - freeAt(ramp.bucket, rate, now);
  return missing > 0 ? now + missing / rate.perMs : now;
}

export function recordOf({ minute, used, past, inputShare }: Ramp): RampRecord {
  return { minute, used, past, inputShare };
}

/** After a restart: nothing may start at once, for what did before it is not known. */
export function restore(ramp: Ramp, record: RampRecord, now: number): void {
  Object.assign(ramp, record);
  ramp.level = levelOf(ramp);
  turn(ramp, now);
  ramp.bucket = { spent: rateOf(ramp).burst, at: now };
}

function levelOf({ floor, past }: Ramp): number {
  return past.reduce((level, used, age) => Math.max(level, used * GROWTH ** ((age + 1) / MINUTES)), floor);
}

function rateOf({ level }: Ramp): Rate {
  return { perMs: level / MINUTE_MS, burst: level * BURST };
}
