/**
 * A linearly refilling bucket. Law: over every interval of length T, what was taken is at most
 * `burst + perMs * T`. Refill is computed when somebody looks, never by a timer.
 *
 * Kept as "spent and not yet refilled" at an instant. The theoretical arrival time (TAT) of GCRA (ITU-T I.371) is
 * the same number in another form. It was rejected because a TAT near 4e12 ms resolves 0.5 µs at best,
 * which is more than one token at 180,000,000 TPM.
 */
export type Bucket = { spent: number; at: number; lows?: readonly Low[] };
/** For any instant before `until` (ms): the least that was spent at any time since, except now. Lists are sorted: `until` and `least` rise together. */
type Low = { until: number; least: number };

/** `perMs`: units refilled a millisecond. `burst`: the most units that can be spent at once. */
export type Rate = { perMs: number; burst: number };

export const FULL: Bucket = { spent: 0, at: 0 };

/** Lows that differ by less than this part of the burst are merged into the lower one, so that the list stays short. */
const APART = 1 / 64;

/** Units spent and not yet refilled at `now` (ms). A clock that steps back refills nothing. */
export function spentAt(bucket: Bucket, rate: Rate, now: number): number {
  return Math.max(0, bucket.spent - Math.max(0, now - bucket.at) * rate.perMs);
}

/** Units that can be taken at `now`; negative while a debt is paid off. */
export function freeAt(bucket: Bucket, rate: Rate, now: number): number {
  return rate.burst - spentAt(bucket, rate, now);
}

/**
 * The earliest instant (ms) from `now` on at which `amount` can be taken. An amount above the burst needs a full
 * bucket and then leaves a debt: the caller bounds how far above it may be.
 */
export function readyAt(bucket: Bucket, rate: Rate, amount: number, now: number): number {
  const missing = Math.min(amount, rate.burst) - freeAt(bucket, rate, now);
  // Half a millionth of a unit is rounding, not debt: without it a wake at the computed instant would find nothing ready.
  // Refill counts from the clock's reading at the last take, even if the clock has stepped back since.
  return missing <= 5e-7 ? now : Math.max(now, bucket.at) + missing / rate.perMs;
}

export function take(bucket: Bucket, rate: Rate, amount: number, now: number): Bucket {
  const at = Math.max(now, bucket.at);
  const spent = spentAt(bucket, rate, now);
  return { spent: spent + amount, at, lows: lowsWith(bucket, { until: at, least: spent }, rate) };
}

/** Lowers what is spent as of now, because it is not known when that was taken. */
export function give(bucket: Bucket, rate: Rate, amount: number, now: number): Bucket {
  return { ...bucket, spent: Math.max(0, spentAt(bucket, rate, now) - amount), at: Math.max(now, bucket.at) };
}

/**
 * Returns what was taken at `since` (ms) and never used. Law: the bucket is as if that had never been taken. Without it, the bucket would have been full, and
 * its refill lost, as soon as what was spent fell below the amount. So no more comes back than the least that was spent at any time since. What comes back is
 * also subtracted from the lows since then, so that two returns do not both count the same spending.
 */
export function giveBack(bucket: Bucket, rate: Rate, amount: number, since: number, now: number): Bucket {
  const [at, spent] = [Math.max(now, bucket.at), spentAt(bucket, rate, now)];
  const lows = lowsBelow(bucket, spent);
  const least = lows.find(({ until }) => until > since)?.least ?? spent;
  const back = Math.max(0, Math.min(amount, least));
  const without = lows.map((low) => ({ ...low, least: low.until > since ? low.least - back : Math.min(low.least, least - back) }));
  return { spent: spent - back, at, lows: apart(without, rate) };
}

function apart(lows: readonly Low[], { burst }: Rate): Low[] {
  const few: Low[] = [];
  for (const low of lows) {
    const last = few.at(-1);
    if (last && (last.until === low.until || low.least - last.least < burst * APART))
      few[few.length - 1] = { until: low.until, least: last.least };
    else few.push(low);
  }
  return few;
}

/** The lows below a new one, and then the new one. The others are far enough apart already, so this allocates only one list: it runs at each start. */
function lowsWith(bucket: Bucket, low: Low, { burst }: Rate): Low[] {
  const lows = bucket.lows ?? [];
  let below = lows.length;
  while (below > 0 && lows[below - 1]!.least >= low.least) below--;
  const few = lows.slice(0, below);
  const last = few[below - 1];
  if (last && (last.until === low.until || low.least - last.least < burst * APART))
    few[below - 1] = { until: low.until, least: last.least };
  else few.push(low);
  return few;
}

function lowsBelow({ lows = [] }: Bucket, spent: number): Low[] {
  return lows.filter(({ least }) => least < spent);
}
