/** One bucket that refills linearly: what is left of a limit, counted as OpenAI's own headers show. Times in ms. */
export interface Meter {
  limit: number;
  /** 60 for a limit per minute, 86,400 for one per day. */
  windowSeconds: number;
  /** The most that can be spent at once; below `limit` where the limit is enforced over shorter periods. */
  capacity: number;
  level: number;
  at: number;
  /** 0 refills steadily; otherwise all at once, at each whole multiple of this many ms. */
  tickMs: number;
}

// Refilling is float arithmetic: what is due exactly now may come out a hair short.
const HAIR = 1e-6;

export function openMeter(limit: number, windowSeconds: number, burstSeconds: number, now: number): Meter {
  // A capacity below one would never let anything through.
  const capacity = Math.max(1, (limit * Math.min(burstSeconds, windowSeconds)) / windowSeconds);
  return { limit, windowSeconds, capacity, level: capacity, at: now, tickMs: 0 };
}

/** A per-minute limit dealt out by the second: what is not used within its second is lost. Limits below one per second use longer ticks. */
export function openTick(limit: number, now: number): Meter {
  const tickMs = Math.max(1000, Math.ceil(60_000 / limit));
  const capacity = Math.max(1, Math.floor((limit * tickMs) / 60_000 + HAIR));
  return { limit, windowSeconds: 60, capacity, level: capacity, at: now, tickMs };
}

/** Counts from zero in each window: the whole limit is available at each whole multiple of the window, by the clock. */
export function openWindow(limit: number, windowSeconds: number, now: number): Meter {
  const capacity = Math.max(1, limit);
  return { limit, windowSeconds, capacity, level: capacity, at: now, tickMs: windowSeconds * 1000 };
}

export function refill(meter: Meter, now: number): void {
  if (now <= meter.at) return;
  if (meter.tickMs > 0) {
    if (now >= nextTick(meter)) meter.level = meter.capacity;
    meter.at = now;
    return;
  }
  meter.level = Math.min(meter.capacity, meter.level + ((now - meter.at) / 1000) * (meter.limit / meter.windowSeconds));
  meter.at = now;
}

export function covers(meter: Meter, amount: number): boolean {
  return meter.level + HAIR >= amount;
}

export function spend(meter: Meter, amount: number): void {
  meter.level = Math.max(0, meter.level - amount);
}

export function giveBack(meter: Meter, amount: number): void {
  meter.level = Math.min(meter.capacity, meter.level + amount);
}

function nextTick({ at, tickMs }: Meter): number {
  return (Math.floor(at / tickMs) + 1) * tickMs;
}

/** Milliseconds until `amount` is available, rounded up. */
export function waitFor(meter: Meter, amount: number): number {
  if (meter.tickMs > 0) return nextTick(meter) - meter.at;
  return Math.ceil(((amount - meter.level) * meter.windowSeconds * 1000) / meter.limit - HAIR);
}

export function used(meter: Meter): number {
  return Math.max(0, Math.ceil(meter.capacity - meter.level - HAIR));
}

/** The remaining amount that the header shows: counted down from the whole limit, even where less can be spent at once. */
export function remaining(meter: Meter): number {
  return Math.max(0, Math.floor(meter.limit - (meter.capacity - meter.level) + HAIR));
}

/** Milliseconds until the limit is whole again: (limit - remaining) / rate, or the end of the window. */
export function resetMs(meter: Meter): number {
  if (meter.tickMs > 0) return meter.level < meter.capacity ? nextTick(meter) - meter.at : 0;
  return Math.floor(((meter.limit - remaining(meter)) * meter.windowSeconds * 1000) / meter.limit + HAIR);
}
