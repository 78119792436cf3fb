/** A pool whose upstream counts in windows, and a log that forgets nothing. */
import type { Limits } from "../../policy/budget.ts";

/** A window plus the transit, ms. */
export const SPAN = 60_250;
export const LIMITS: Limits = {
  rpm: 600,
  tpm: 60_000,
  rpd: null,
  tpd: null,
  concurrency: null,
  burstSeconds: 60,
  windowSeconds: 60,
  transitMs: 250,
};

export type Taken = { at: number; amount: number };

export const within = (log: Taken[], now: number, span = SPAN) =>
  log.reduce((sum, { at, amount }) => sum + (at > now - span && at <= now ? amount : 0), 0);

/** The most that any interval as long as a span holds; each such interval ends with a call. */
export const worst = (log: Taken[], span = SPAN) => Math.max(0, ...log.map(({ at }) => within(log, at, span)));
