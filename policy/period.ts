/**
 * Which of a pool's limits a reading is of: headers of one name can tell the minute's limit or the day's. It is told by the time until all is free
 * again, as far as that tells: in a bucket, how long the whole of it takes; in a window, when it ends.
 */
import type { LimitReading } from "../schemas/rate.ts";

/** `most`: the highest of the minute's limits that is thought of. `day`: the day's limit, if there is one. */
export type Expected = { most: number; day: number | null; windowSeconds: number | null };

/** A whole bucket in ms, as `limit / (limit - remaining) * reset` has it, within these bounds. */
const MINUTE = { least: 45_000, most: 90_000 };
const DAY = { least: 64_800_000, most: 129_600_000 };
/** Where nothing is left more may be owed than a minute's: after the limit was lowered. */
const OWING = 10;
/** Without a telling reset, what is above so many times the limit is another's. Below it all is believed: a limit can be cut to anything. */
const FAR = 4;

/** What headers say is in whole units and milliseconds, rounded anyhow: at a high limit that is most of what they say. */
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

/** The time until all is free tells nothing. */
function byLimit({ limit, resetMs }: LimitReading, { day, most }: Expected): Period {
  if (limit === day || (resetMs ?? 0) > MINUTE.most * OWING) return "day";
  return limit <= most * FAR ? "minute" : null;
}
