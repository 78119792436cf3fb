/**
 * The budget of one pool: every limit that upstream counts, taken together or not at all.
 * Law: a call starts only if each bucket holds its cost and a concurrency place is free.
 */
import type { LimitedBy } from "../schemas/job.ts";
import type { Rate } from "./bucket.ts";
import { Leaving, leaveMsOf } from "./leaving.ts";
import { Sliding } from "./sliding.ts";
import { Refilling, type Tally } from "./tally.ts";

/** Limits per minute, per day and at once; null is no limit. */
export type Limits = {
  rpm: number | null;
  tpm: number | null;
  rpd: number | null;
  tpd: number | null;
  concurrency: number | null;
  /** How much of a rate of a minute may be spent at once, in seconds of it. */
  burstSeconds: number;
  /** What that can become where it is learned: a call that fits the greatest fits, at a full bucket. */
  mostBurstSeconds?: number;
  /** Upstream counts in windows of so many seconds; null, and by default: a bucket that refills all the time. */
  windowSeconds?: number | null;
  /**
   * How much later a call may reach upstream than another that was admitted at the same time, ms. Upstream then sees up to rate × this more in
   * an interval, so the burst gives that much up.
   */
  transitMs?: number;
  /** So many calls can leave at once; null, and by default: any number. More would keep each other waiting, and be as late. */
  leaveAtOnce?: number | null;
};

export type Resource = "rpm" | "tpm" | "rpd" | "tpd";
const RESOURCES: Resource[] = ["rpm", "tpm", "rpd", "tpd"];
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Less than this is rounding. */
const HAIR = 1e-6;

/** Unless the pool says otherwise. */
export const TRANSIT_MS = 1_000;

/**
 * `rate`: what it lets through in the long run, and at once at the most. `whole`: no call that takes more ever fits. `leaving`: when a bucket's calls have to
 * leave; null of a day, for which nothing is given up, and of a window, whose calls leave within `leaveMs` of being let go.
 */
export type Meter = {
  resource: Resource;
  counts: "requests" | "tokens";
  rate: Rate;
  whole: number;
  tally: Tally;
  leaving: Leaving | null;
  leaveMs?: number;
};
/** `former`: what was spent of limits that are lower since, or gone. */
export type Budget = {
  meters: Meter[];
  concurrency: number | null;
  inFlight: number;
  heldUntil: number;
  former?: Partial<Record<Resource, Former[]>>;
};
/** Units that were spent at an instant (ms) of a limit that refills by so many a ms. */
export type Former = { spent: number; at: number; perMs: number };

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
  const { burstSeconds, mostBurstSeconds = burstSeconds, windowSeconds = null, transitMs = TRANSIT_MS } = limits;
  const counts = resource[0] === "r" ? "requests" : "tokens";
  const perDay = resource.endsWith("d");
  const perMs = limit / (perDay ? DAY_MS : MINUTE_MS);
  const [atOnce, whole] = perDay ? [limit, limit] : [perMs * burstSeconds * 1_000, perMs * mostBurstSeconds * 1_000];
  if (!perDay && windowSeconds !== null)
    return openWindow(resource, perMs, atOnce, { ...limits, windowMs: windowSeconds * 1_000, transitMs });
  // A short burst keeps at least half of itself: below that, the pool would stand still between two calls.
  const rate = { perMs, burst: Math.max(atOnce - perMs * transitMs, atOnce / 2) };
  // Of what is given up for it, which a short burst has not.
  const leaving = perDay || transitMs === 0 ? null : new Leaving((atOnce - rate.burst) / perMs);
  return { resource, counts, rate, whole: counts === "requests" ? Math.max(1, whole) : whole, tally: new Refilling(rate), leaving };
}

/** Calls that reach upstream within a window were admitted within the window and the transit. Of what that lets through, no more goes at once than a short burst has. */
function openWindow(
  resource: Resource,
  perMs: number,
  whole: number,
  { leaveAtOnce = null, transitMs, windowMs }: Limits & { transitMs: number; windowMs: number },
): Meter {
  const limit = perMs * windowMs;
  const [counts, least, atOnce] = resource === "rpm" ? (["requests", 1, leaveAtOnce] as const) : (["tokens", 0, null] as const);
  const tally = new Sliding(limit, windowMs + transitMs, { perMs, burst: Math.max(least, whole) }, counts, atOnce);
  const rate = { perMs: limit / (windowMs + transitMs), burst: limit };
  return { resource, counts, rate, whole: limit, tally, leaving: null, ...(transitMs > 0 && { leaveMs: leaveMsOf(transitMs) }) };
}

/** The first meter that a single call of so many tokens could never fit, even when full; null if there is none. */
export function neverFits(budget: Budget, tokens: number): Meter | null {
  for (const meter of budget.meters) if (amountOf(meter, tokens) > meter.whole) return meter;
  return null;
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
    const at = meter.tally.readyAt(amountOf(meter, tokens), now);
    if (at > ready.at) ready = { at, limitedBy: meter.resource };
  }
  return ready;
}

/** The same, but that a limit holds no longer than until an instant of its own, ms, if there is one: from then on a call may find out whether it does. */
export function readyUnless(budget: Budget, tokens: number, until: Partial<Record<Resource, number>>, now: number): number {
  const others = readiness({ ...budget, meters: [] }, tokens, now).at;
  const ats = budget.meters.map((meter) => {
    const at = meter.tally.readyAt(amountOf(meter, tokens), now);
    return Math.min(at, Math.max(now, until[meter.resource] ?? Number.POSITIVE_INFINITY));
  });
  return Math.max(others, ...ats);
}

/** When a call of so many tokens can start and leave, as far as the limits hold both, what another of `other` takes; ms. */
export function readyBesideAt(budget: Budget, tokens: number, other: number, now: number): number {
  const ats = budget.meters.map((meter) => meter.tally.readyAt(amountOf(meter, tokens) + amountOf(meter, other), now));
  return Math.max(now, ...ats);
}

export function reserve(budget: Budget, tokens: number, now: number): Reservation {
  for (const meter of budget.meters) {
    meter.tally.take(amountOf(meter, tokens), now);
    meter.leaving?.note(amountOf(meter, tokens), now);
  }
  budget.inFlight++;
  return { tokens, at: now };
}

/**
 * By when a call for which was reserved just now has to leave, ms: later it asks anew. Infinity: whenever it can; so does one that was let go beyond what a day holds, to see whether it
 * still does.
 */
export function leaveBy({ meters }: Budget, now: number): number {
  let by = Number.POSITIVE_INFINITY;
  for (const { leaveMs, leaving, rate, resource, tally, whole } of meters) {
    if (leaving) by = Math.min(by, leaving.by(rate.perMs, now));
    else if (leaveMs !== undefined) by = Math.min(by, now + leaveMs);
    else if (resource.endsWith("d") && tally.spent(now) > whole + HAIR) return Number.POSITIVE_INFINITY;
  }
  return by;
}

/** A call was let go anew for which so many tokens are spent twice: the rest had come back. */
export function spentTwice({ meters }: Budget, tokens: number): void {
  for (const { leaving, resource } of meters) if (resource === "tpm") leaving?.again(tokens);
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
  if (since !== undefined) meter.tally.giveBack(amount, since, now);
}

/** A call that was let go has waited, and left only at `leftAt` (ms): upstream counts it as of then. A bucket has no memory of when. After a restart it is not known what of it a window still has: all counts once more. */
export function leftLate(budget: Budget, { at = Number.NEGATIVE_INFINITY, tokens }: Reservation, leftAt: number, now: number): void {
  for (const meter of budget.meters)
    if (meter.tally instanceof Sliding) meter.tally.leave(amountOf(meter, tokens), at, Math.min(now, leftAt), now);
}

/** A call that has ended used more tokens than it had reserved: they are spent as well, if need be as a debt. */
export function charge(budget: Budget, tokens: number, now: number): void {
  for (const meter of budget.meters) if (meter.counts === "tokens") meter.tally.owe(tokens, now);
}

/** Nothing starts before `until` (ms): upstream asked for silence. */
export function hold(budget: Budget, until: number): void {
  budget.heldUntil = Math.max(budget.heldUntil, until);
}

/** Silence is over. */
export function unhold(budget: Budget): void {
  budget.heldUntil = 0;
}

/** A limit is another from now on, or there is none any more. What was spent stays spent. */
export function retune(budget: Budget, resource: Resource, limits: Limits): void {
  const limit = limits[resource];
  const at = budget.meters.findIndex((each) => each.resource === resource);
  const before = at < 0 ? [] : budget.meters.splice(at, 1);
  if (limit === null) return;
  const meter = openMeter(resource, limit, limits);
  // What fitted a short burst of before, and fits the limit's own minute, goes on at a full bucket.
  if (!isWindow(meter)) meter.whole = Math.max(meter.whole, Math.min(before[0]?.whole ?? 0, limit));
  if (before[0]) meter.tally.succeed(before[0].tally);
  if (before[0]?.leaving) meter.leaving?.succeed(before[0].leaving);
  budget.meters.push(meter);
}

/** What was free of a limit still is when it was changed, as far as that holds it; a debt is as large as it was. Answers how much came back for that. */
export function keeping(budget: Budget, resource: Resource, now: number, change: () => void): number {
  const free = () => burstOf(budget, resource) - used(budget, resource, now);
  const before = free();
  change();
  const missing = Math.min(before, burstOf(budget, resource)) - free();
  return missing > 0 ? -correct(budget, resource, -missing, now) : 0;
}

/** What others spent may be owed beyond the bucket for so long: more would be their debt, not ours. */
const OWED_MS = 10_000;

/** Until then, ms, a window that stands open is not spent at once. */
export function spendEvenly(budget: Budget, until: number): void {
  for (const { tally } of budget.meters) if (tally instanceof Sliding) tally.spendEvenly(until);
}

/** Who comes and has to wait for more than this part of a window, for it was spent before: others will come like that, for so long, ms. */
const CAME = { part: 1 / 10, ms: 600_000 };

/** Somebody has come who has to wait, a call of so many tokens, while others wait: from now on there is to be something left for such as come between. */
export function cameLate(budget: Budget, tokens: number, now: number): void {
  for (const meter of budget.meters) {
    const { tally } = meter;
    if (!(tally instanceof Sliding) || tally.readyAt(amountOf(meter, tokens), now) - now <= tally.spanMs * CAME.part) continue;
    spendEvenly(budget, now + CAME.ms);
  }
}

/** So much of a limit is spent as well, by whomever; or, where it is negative, is free again. Answers how much is: no more than there was room for. */
export function correct(budget: Budget, resource: Resource, amount: number, now: number): number {
  const meter = meterOf(budget, resource);
  if (!meter) return 0;
  const { rate, tally } = meter;
  const before = tally.spent(now);
  if (amount < 0) {
    tally.give(-amount, now);
    return Math.max(amount, -before);
  }
  const taken = Math.min(amount, Math.max(0, rate.burst + rate.perMs * OWED_MS - before));
  tally.owe(taken, now);
  return taken;
}

export function isWindow({ tally }: Meter): boolean {
  return tally instanceof Sliding;
}

/** How long the refill of what a call takes of one resource lasts, ms: by the slowest of its meters. */
export function costMs(budget: Budget, counts: Meter["counts"], tokens: number): number {
  let cost = 0;
  for (const meter of budget.meters) if (meter.counts === counts) cost = Math.max(cost, amountOf(meter, tokens) / meter.rate.perMs);
  return cost;
}

/** The share of the scarcer resource that a call takes, in ms of the pool's rate: the cost of dominant-resource fairness. */
export function dominantMs(budget: Budget, tokens: number): number {
  let cost = 0;
  for (const meter of budget.meters) cost = Math.max(cost, amountOf(meter, tokens) / meter.rate.perMs);
  return cost;
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

/** How much later a call of `head` tokens can start if one of `ahead` starts now, as far as one resource tells; ms. */
export function delayMs(budget: Budget, counts: Meter["counts"], head: number, ahead: number, now: number): number {
  let delay = 0;
  for (const meter of budget.meters)
    if (meter.counts === counts) delay = Math.max(delay, meter.tally.delayMs(amountOf(meter, head), amountOf(meter, ahead), now));
  return delay;
}

/**
 * When the last of `requests` calls of `tokens` together is let through, were nobody else there. It takes `ownTokens`
 * of them, and may leave a debt.
 */
export function clearanceMs(budget: Budget, requests: number, tokens: number, ownTokens: number, now: number): Readiness {
  let ready: Readiness = { at: now, limitedBy: "none" };
  for (const meter of budget.meters) {
    const amount = meter.counts === "requests" ? requests : tokens;
    const at = meter.tally.clearedAt(amount, amountOf(meter, ownTokens), now);
    if (at > ready.at) ready = { at, limitedBy: meter.resource };
  }
  return ready;
}

/** What is spent of a limit, and not yet back. */
export function used(budget: Budget, resource: Resource, now: number): number {
  return meterOf(budget, resource)?.tally.spent(now) ?? 0;
}

export function free(budget: Budget, resource: Resource, now: number): number {
  return Math.max(0, meterOf(budget, resource)?.tally.free(now) ?? 0);
}

/** The most of a limit of a minute that can be spent at once. */
export function burstOf(budget: Budget, resource: Resource): number {
  return meterOf(budget, resource)?.rate.burst ?? Number.POSITIVE_INFINITY;
}

export function meterOf({ meters }: Budget, resource: Resource): Meter | undefined {
  for (const meter of meters) if (meter.resource === resource) return meter;
  return undefined;
}

function amountOf(meter: Meter, tokens: number): number {
  return meter.counts === "requests" ? 1 : tokens;
}
