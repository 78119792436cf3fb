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

export function periodOf({ limit, remaining, resetMs }: LimitReading, { day, most, windowSeconds }: Expected): "minute" | "day" | null {
  const spent = limit - (remaining ?? limit);
  if (resetMs === null || spent === 0) {
    if (limit === day || (resetMs ?? 0) > MINUTE.most * OWING) return "day";
    return limit <= most * FAR ? "minute" : null;
  }
  if (windowSeconds && resetMs <= windowSeconds * 1_000) return "minute";
  const whole = (resetMs / spent) * limit;
  if (whole >= MINUTE.least && whole <= MINUTE.most * (remaining === 0 ? OWING : 1)) return "minute";
  if (windowSeconds && resetMs > MINUTE.most * OWING) return "day";
  return whole >= DAY.least && whole <= DAY.most ? "day" : null;
}
