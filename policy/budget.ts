/**
 * The budget of one pool: every limit that upstream counts, taken together or not at all.
 * Law: a call starts only if each bucket holds its cost and a concurrency place is free.
 */
import type { LimitedBy } from "../schemas/job.ts";
import { type Bucket, FULL, freeAt, give, giveBack, type Rate, readyAt, spentAt, take } from "./bucket.ts";

/** Limits per minute, per day and at once; null is no limit. */
export type Limits = {
  rpm: number | null;
  tpm: number | null;
  rpd: number | null;
  tpd: number | null;
  concurrency: number | null;
  /** How much of a rate of a minute may be spent at once, in seconds of it. */
  burstSeconds: number;
  /** Upstream counts in windows of so many seconds; null, and by default: a bucket that refills all the time. */
  windowSeconds?: number | null;
  /**
   * How much later a call may reach upstream than another that was admitted at the same time, ms. Upstream then sees up to rate × this more in
   * an interval, so the burst gives that much up.
   */
  transitMs?: number;
};

export type Resource = "rpm" | "tpm" | "rpd" | "tpd";
const RESOURCES: Resource[] = ["rpm", "tpm", "rpd", "tpd"];
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** The most that a burst may take of a window: what it takes is missing from the rate. */
const WINDOW_BURST = 1 / 10;

/** Unless the pool says otherwise. */
export const TRANSIT_MS = 1_000;

export type Meter = { resource: Resource; counts: "requests" | "tokens"; rate: Rate; whole: number; bucket: Bucket };
export type Budget = { meters: Meter[]; concurrency: number | null; inFlight: number; heldUntil: number };

/** What a call takes; given back by `release` or `refund`. `at`: since when, ms; missing if a restart forgot it. */
export type Reservation = { tokens: number; at?: number };
export type Readiness = { at: number; limitedBy: LimitedBy };

export function openBudget(limits: Limits): Budget {
  const meters = RESOURCES.flatMap((resource): Meter[] => {
    const limit = limits[resource];
    return limit === null ? [] : [openMeter(resource, limit, limits)];
  });
  return { meters, concurrency: limits.concurrency, inFlight: 0, heldUntil: 0 };
}

function openMeter(resource: Resource, limit: number, limits: Limits): Meter {
  const { burstSeconds, windowSeconds = null, transitMs = TRANSIT_MS } = limits;
  const counts = resource[0] === "r" ? "requests" : "tokens";
  const perDay = resource.endsWith("d");
  const perMs = limit / (perDay ? DAY_MS : MINUTE_MS);
  const whole = perDay ? limit : perMs * burstSeconds * 1_000;
  if (!perDay && windowSeconds !== null) return openWindow(resource, counts, perMs, whole, windowSeconds * 1_000, transitMs);
  // A short burst keeps at least half of itself: below that, the pool would stand still between two calls.
  const burst = Math.max(whole - perMs * transitMs, whole / 2);
  return { resource, counts, rate: { perMs, burst }, whole: counts === "requests" ? Math.max(1, whole) : whole, bucket: FULL };
}

/**
 * Calls that reach upstream within a window were admitted within the window and the transit: burst + rate × (window + transit) is what a
 * window can hold of them, and is kept at its limit.
 */
function openWindow(resource: Resource, counts: Meter["counts"], perMs: number, whole: number, windowMs: number, transitMs: number): Meter {
  const limit = perMs * windowMs;
  const burst = Math.max(counts === "requests" ? 1 : 0, Math.min(whole, limit * WINDOW_BURST));
  const rate = { perMs: (limit - burst) / (windowMs + transitMs), burst, exact: true };
  return { resource, counts, rate, whole: limit, bucket: FULL };
}

/** The first meter that a single call of so many tokens could never fit, even when full; null if there is none. */
export function neverFits(budget: Budget, tokens: number): Meter | null {
  return budget.meters.find((meter) => amountOf(meter, tokens) > meter.whole) ?? null;
}

/** The most tokens that a call can ever reserve; Infinity without a limit of them. */
export function wholeTokens(budget: Budget): number {
  return Math.min(Number.POSITIVE_INFINITY, ...budget.meters.flatMap(({ counts, whole }) => (counts === "tokens" ? [whole] : [])));
}

/** When a call of so many tokens can start, and what it waits for. Infinity when only an event can tell (a place must come free). */
export function readiness(budget: Budget, tokens: number, now: number): Readiness {
  if (budget.concurrency !== null && budget.inFlight >= budget.concurrency)
    return { at: Number.POSITIVE_INFINITY, limitedBy: "concurrency" };
  let ready: Readiness = budget.heldUntil > now ? { at: budget.heldUntil, limitedBy: "retry" } : { at: now, limitedBy: "none" };
  for (const meter of budget.meters) {
    const at = readyAt(meter.bucket, meter.rate, amountOf(meter, tokens), now);
    if (at > ready.at) ready = { at, limitedBy: meter.resource };
  }
  return ready;
}

/** When a call of so many tokens can start and leave, as far as the limits hold both, what another of `other` takes; ms. */
export function readyBesideAt(budget: Budget, tokens: number, other: number, now: number): number {
  const ats = budget.meters.map((meter) => readyAt(meter.bucket, meter.rate, amountOf(meter, tokens) + amountOf(meter, other), now));
  return Math.max(now, ...ats);
}

export function reserve(budget: Budget, tokens: number, now: number): Reservation {
  for (const meter of budget.meters) meter.bucket = take(meter.bucket, meter.rate, amountOf(meter, tokens), now);
  budget.inFlight++;
  return { tokens, at: now };
}

/** The call has ended. Upstream keeps what was reserved: nobody has shown that it refunds. */
export function release(budget: Budget): void {
  budget.inFlight--;
}

/** The call never reached upstream: nothing was charged there. `back`: what was given back already. */
export function refund(budget: Budget, reservation: Reservation, now: number, back: Partial<Record<Resource, number>> = {}): void {
  for (const meter of budget.meters)
    returnTo(meter, amountOf(meter, reservation.tokens) - (back[meter.resource] ?? 0), reservation.at, now);
  budget.inFlight--;
}

/** A call that has ended used so many tokens less than it had reserved, and nobody counts them: given back as by `refund`. */
export function refundTokens(budget: Budget, tokens: number, since: number | undefined, now: number): void {
  for (const meter of budget.meters) if (meter.counts === "tokens") returnTo(meter, tokens, since, now);
}

/** Of what was taken before a restart it is not known what refilled since: it stays spent. */
function returnTo(meter: Meter, amount: number, since: number | undefined, now: number): void {
  if (since !== undefined) meter.bucket = giveBack(meter.bucket, meter.rate, amount, since, now);
}

/** A call that has ended used more tokens than it had reserved: they are spent as well, if need be as a debt. */
export function charge(budget: Budget, tokens: number, now: number): void {
  for (const meter of budget.meters) if (meter.counts === "tokens") meter.bucket = take(meter.bucket, meter.rate, tokens, now);
}

/** Nothing starts before `until` (ms): upstream asked for silence. */
export function hold(budget: Budget, until: number): void {
  budget.heldUntil = Math.max(budget.heldUntil, until);
}

/** Silence is over. */
export function unhold(budget: Budget): void {
  budget.heldUntil = 0;
}

/** What a limit of before allowed may be owed beyond one that is lower for so long: upstream counts no minute longer than a minute. */
const RETUNED_MS = MINUTE_MS;

/**
 * A limit is another from now on, or there is none any more. What was spent stays spent, as far as the new one may owe it: its rate would pay off the
 * rest for hours, and without a call nobody learns that the limit is back.
 */
export function retune(budget: Budget, resource: Resource, limits: Limits): void {
  const limit = limits[resource];
  const at = budget.meters.findIndex((each) => each.resource === resource);
  const before = at < 0 ? [] : budget.meters.splice(at, 1);
  if (limit === null) return;
  const meter = openMeter(resource, limit, limits);
  const bucket = before[0]?.bucket ?? FULL;
  const spent = Math.min(bucket.spent, meter.rate.burst + meter.rate.perMs * RETUNED_MS);
  // What fitted a short burst of before, and fits the limit's own minute, goes on at a full bucket.
  const whole = meter.rate.exact ? meter.whole : Math.max(meter.whole, Math.min(before[0]?.whole ?? 0, limit));
  budget.meters.push({ ...meter, whole, bucket: { ...bucket, spent } });
}

/** What others spent may be owed beyond the bucket for so long: more would be their debt, not ours. */
const OWED_MS = 10_000;

/** So much of a limit is spent as well, by whomever; or, where it is negative, is free again. Answers how much is: no more than there was room for. */
export function correct(budget: Budget, resource: Resource, amount: number, now: number): number {
  const meter = budget.meters.find((each) => each.resource === resource);
  if (!meter) return 0;
  const before = spentAt(meter.bucket, meter.rate, now);
  if (amount < 0) {
    meter.bucket = give(meter.bucket, meter.rate, -amount, now);
    return Math.max(amount, -before);
  }
  const room = Math.max(0, meter.rate.burst + meter.rate.perMs * OWED_MS - before);
  const taken = Math.min(amount, room);
  meter.bucket = take(meter.bucket, meter.rate, taken, now);
  return taken;
}

/** How long the refill of what a call takes of one resource lasts, ms: by the slowest of its meters. */
export function costMs(budget: Budget, counts: Meter["counts"], tokens: number): number {
  let cost = 0;
  for (const meter of budget.meters) if (meter.counts === counts) cost = Math.max(cost, amountOf(meter, tokens) / meter.rate.perMs);
  return cost;
}

/** The share of the scarcer resource that a call takes, in ms of the pool's rate: the cost of dominant-resource fairness. */
export function dominantMs(budget: Budget, tokens: number): number {
  return Math.max(costMs(budget, "requests", tokens), costMs(budget, "tokens", tokens));
}

/** How fast a pool goes by the limits of a minute, whatever a day leaves it: requests and tokens a ms. */
export type Pace = { requests?: number; tokens?: number };

export function paceOf({ meters }: Budget): Pace {
  const pace: Pace = {};
  for (const { counts, rate, resource } of meters) if (resource === "rpm" || resource === "tpm") pace[counts] = rate.perMs;
  return pace;
}

/** The share of the scarcer of them that a call takes, ms. */
export function paceMs({ requests, tokens: perMs }: Pace, tokens: number): number {
  return Math.max(requests ? 1 / requests : 0, perMs ? tokens / perMs : 0);
}

/** The resource that a call takes the greater share of. */
export function dominantKind(budget: Budget, tokens: number): Meter["counts"] {
  return costMs(budget, "tokens", tokens) > costMs(budget, "requests", tokens) ? "tokens" : "requests";
}

/** Whether the tokens of a minute would be full before the next request can follow this one: from then on their refill is lost. */
export function tokensIdle(budget: Budget, now: number): boolean {
  const meter = budget.meters.find((each) => each.resource === "tpm");
  return meter !== undefined && spentAt(meter.bucket, meter.rate, now) <= meter.rate.perMs * costMs(budget, "requests", 0);
}

/**
 * When the last of `requests` calls of `tokens` together is let through, were nobody else there. It takes `ownTokens`
 * of them, and may leave a debt.
 */
export function clearanceMs(budget: Budget, requests: number, tokens: number, ownTokens: number, now: number): Readiness {
  let ready: Readiness = { at: now, limitedBy: "none" };
  for (const meter of budget.meters) {
    const debt = Math.max(0, amountOf(meter, ownTokens) - meter.rate.burst);
    const missing = (meter.counts === "requests" ? requests : tokens) - debt - freeAt(meter.bucket, meter.rate, now);
    const at = missing > 0 ? Math.max(now, meter.bucket.at) + missing / meter.rate.perMs : now;
    if (at > ready.at) ready = { at, limitedBy: meter.resource };
  }
  return ready;
}

/** Spent and not yet refilled in the bucket of a minute. */
export function used(budget: Budget, resource: Resource, now: number): number {
  const meter = budget.meters.find((each) => each.resource === resource);
  return meter ? spentAt(meter.bucket, meter.rate, now) : 0;
}

export function free(budget: Budget, resource: Resource, now: number): number {
  const meter = budget.meters.find((each) => each.resource === resource);
  return meter ? Math.max(0, freeAt(meter.bucket, meter.rate, now)) : 0;
}

/** The most of a limit of a minute that can be spent at once. */
export function burstOf(budget: Budget, resource: Resource): number {
  return budget.meters.find((each) => each.resource === resource)?.rate.burst ?? Number.POSITIVE_INFINITY;
}

function amountOf(meter: Meter, tokens: number): number {
  return meter.counts === "requests" ? 1 : tokens;
}
