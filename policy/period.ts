/**
 * Which of a pool's limits a reading is of: headers of one name can report the minute's limit or the day's. The time until all is free again tells them
 * apart, as far as it can: for a bucket, how long the whole of it takes to refill; for a window, when it ends.
 */
import type { LimitReading } from "../schemas/rate.ts";

/** `most`: the highest limit expected of a minute. `day`: the day's limit, if there is one. */
export type Expected = { most: number; day: number | null; windowSeconds: number | null };

/** Bounds for the refill of a whole bucket, which is `limit / (limit - remaining) * reset`, ms. */
const MINUTE = { least: 45_000, most: 90_000 };
const DAY = { least: 64_800_000, most: 129_600_000 };
/** Where nothing is left, this many times a minute's refill may be owed: after the limit was lowered. */
const OWING = 10;
/** If the reset time does not tell, a limit above this many times `most` is not the minute's. Any lower one is believed: a limit can be cut to anything. */
const FAR = 4;

/** Headers are in whole units and milliseconds, rounded up or down: at a high limit that is most of what they say. */
const ROUNDING = 1;

type Period = "minute" | "day" | null;

export function periodOf(reading: LimitReading, expected: Expected): Period {
  const { limit, remaining, resetMs } = reading;
  const { windowSeconds } = expected;
  const spent = limit - (remaining ?? limit);
  if (resetMs === null || spent === 0) return byLimit(reading, expected);
  if (windowSeconds && resetMs <= windowSeconds * 1_000) return "minute";
  const whole = (resetMs / spent) * limit;
  const longest = MINUTE.most * (remaining === 0 ? OWING : 1);
  if (whole >= MINUTE.least && whole <= longest) return "minute";
  if (windowSeconds && resetMs > MINUTE.most * OWING) return "day";
  if (whole >= DAY.least && whole <= DAY.most) return "day";
  const [least, most] = [(resetMs - ROUNDING) / spent, (resetMs + ROUNDING) / Math.max(0, spent - ROUNDING)];
  return least * limit <= longest && most * limit >= MINUTE.least ? byLimit(reading, expected) : null;
}

/** The limit decides, where the time until all is free tells nothing, or only that it is too long for a minute. */
function byLimit({ limit, resetMs }: LimitReading, { day, most }: Expected): Period {
  if (limit === day || (resetMs ?? 0) > MINUTE.most * OWING) return "day";
  return limit <= most * FAR ? "minute" : null;
}
