/**
 * The budget of one pool: every limit that upstream counts, taken together or not at all.
 * Law: a call starts only if each bucket holds its cost and a concurrency place is free.
 */
import type { LimitedBy } from "../schemas/job.ts";
import type { Rate } from "./bucket.ts";
import { alsoTaken, type Former } from "./former.ts";
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
  /** The most that it can become if it is learned: a call that fits into this much fits, once the bucket is full. */
  mostBurstSeconds?: number;
  /** Upstream counts in windows of this many seconds; null (default): by a bucket that refills all the time. */
  windowSeconds?: number | null;
  /**
   * How much later a call may reach upstream than another that was admitted at the same time, ms. Upstream then sees up to rate × this more in
   * an interval, so the burst gives that much up.
   */
  transitMs?: number;
  /** How many calls can leave at once; null (default): any number. More would keep each other waiting, and leave that much later. */
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
 * `rate`: what it lets through in the long run, and at most at once. `whole`: a call that takes more never fits. `leaving`: by when a bucket's calls have to
 * leave; null for a day or without transit, where nothing is given up, and for a window, whose calls leave within `leaveMs` of being let go.
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
/** `former`: what was spent of limits that were since lowered or taken away. */
export type Budget = {
  meters: Meter[];
  concurrency: number | null;
  inFlight: number;
  heldUntil: number;
  former?: Partial<Record<Resource, Former[]>>;
};
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
  // By the transit that is really given up for: a short burst gives up less than all of it.
  const leaving = perDay || transitMs === 0 ? null : new Leaving((atOnce - rate.burst) / perMs);
  const most = counts === "requests" ? Math.max(1, whole) : whole;
  return { resource, counts, rate, whole: most, tally: new Refilling(rate, most), leaving };
}

/**
 * Calls that reach upstream within a window were admitted within the window and the transit before it. Of what that lets through, no more than the burst goes
 * at once.
 */
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

/** The first meter that a single call of this many tokens could never fit, even when full; null if there is none. */
export function neverFits(budget: Budget, tokens: number): Meter | null {
  for (const meter of budget.meters) if (amountOf(meter, tokens) > meter.whole) return meter;
  return null;
}

/** The most tokens that a call can ever reserve; Infinity if they have no limit. */
export function wholeTokens(budget: Budget): number {
  return Math.min(Number.POSITIVE_INFINITY, ...budget.meters.flatMap(({ counts, whole }) => (counts === "tokens" ? [whole] : [])));
}

/** When a call of this many tokens can start, and what it waits for. Infinity if only an event can tell (a place must come free). */
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

/**
 * Like `readiness`, except that a limit with an instant in `until` (ms) holds a call back only until then: from then on a call may find out whether the limit
 * still holds.
 */
export function readyUnless(budget: Budget, tokens: number, until: Partial<Record<Resource, number>>, now: number): number {
  const others = readiness({ ...budget, meters: [] }, tokens, now).at;
  const ats = budget.meters.map((meter) => {
    const at = meter.tally.readyAt(amountOf(meter, tokens), now);
    return Math.min(at, Math.max(now, until[meter.resource] ?? Number.POSITIVE_INFINITY));
  });
  return Math.max(others, ...ats);
}

/** When a call of this many tokens can start and leave what another of `other` takes, as far as the limits ever hold both; ms. */
export function readyBesideAt(budget: Budget, tokens: number, other: number, now: number): number {
  const ats = budget.meters.map((meter) => meter.tally.readyAt(amountOf(meter, tokens) + amountOf(meter, other), now));
  return Math.max(now, ...ats);
}

export function reserve(budget: Budget, tokens: number, now: number): Reservation {
  for (const meter of budget.meters) {
    meter.tally.take(amountOf(meter, tokens), now);
    meter.leaving?.note(amountOf(meter, tokens), now);
  }
  if (budget.former) spendFormer(budget, 1, tokens, now);
  budget.inFlight++;
  return { tokens, at: now };
}

function spendFormer(budget: Budget, requests: number, tokens: number, now: number): void {
  const all = Object.entries(budget.former ?? {}) as [Resource, Former[]][];
  budget.former = Object.fromEntries(
    all.map(([resource, each]) => [resource, alsoTaken(each, resource[0] === "r" ? requests : tokens, now)]),
  );
}

/**
 * By when a call whose budget was reserved just now has to leave, ms; after that it asks again. Infinity: whenever it can. That also goes for a call that was
 * let go beyond what a day's limit holds, to see whether the limit still does.
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

/** A call was let go again, and this many of its tokens are now spent twice: the rest had come back. */
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

/** A call that has ended used this many tokens fewer than it had reserved, and nobody counts them: they come back as by `refund`. */
export function refundTokens(budget: Budget, tokens: number, since: number | undefined, now: number): void {
  for (const meter of budget.meters) if (meter.counts === "tokens") returnTo(meter, tokens, since, now);
}

/** What was taken before a restart stays spent: how much of it has refilled since is unknown. */
function returnTo(meter: Meter, amount: number, since: number | undefined, now: number): void {
  if (since !== undefined) meter.tally.giveBack(amount, since, now);
}

/**
 * A call that was let go waited and left only at `leftAt` (ms): upstream counts it from then. Only windows remember when something was taken, buckets do not.
 * After a restart, how much of the call a window still counts is unknown, so all of it counts once more.
 */
export function leftLate(budget: Budget, { at = Number.NEGATIVE_INFINITY, tokens }: Reservation, leftAt: number, now: number): void {
  for (const meter of budget.meters)
    if (meter.tally instanceof Sliding) meter.tally.leave(amountOf(meter, tokens), at, Math.min(now, leftAt), now);
}

/** A call that has ended used more tokens than it had reserved: they are spent as well, if need be as a debt. */
export function charge(budget: Budget, tokens: number, now: number): void {
  for (const meter of budget.meters) if (meter.counts === "tokens") meter.tally.owe(tokens, now);
  if (budget.former) spendFormer(budget, 0, tokens, now);
}

/** Nothing starts before `until` (ms): upstream asked for silence. */
export function hold(budget: Budget, until: number): void {
  budget.heldUntil = Math.max(budget.heldUntil, until);
}

/** Silence is over. */
export function unhold(budget: Budget): void {
  budget.heldUntil = 0;
}

/** From now on a limit is a different one, or gone. What was spent stays spent. */
export function retune(budget: Budget, resource: Resource, limits: Limits): void {
  const limit = limits[resource];
  const at = budget.meters.findIndex((each) => each.resource === resource);
  const before = at < 0 ? [] : budget.meters.splice(at, 1);
  if (limit === null) return;
  const meter = openMeter(resource, limit, limits);
  // What fitted before, and fits a minute of the new limit, still goes, at a full bucket.
  if (!isWindow(meter)) meter.whole = Math.max(meter.whole, Math.min(before[0]?.whole ?? 0, limit));
  if (before[0]) meter.tally.succeed(before[0].tally);
  if (before[0]?.leaving) meter.leaving?.succeed(before[0].leaving);
  budget.meters.push(meter);
}

/** Changes a limit so that what was free of it stays free, as far as the new one holds it, and a debt stays as large. Returns how much came back for that. */
export function keeping(budget: Budget, resource: Resource, now: number, change: () => void): number {
  const free = () => burstOf(budget, resource) - used(budget, resource, now);
  const before = free();
  change();
  const missing = Math.min(before, burstOf(budget, resource)) - free();
  return missing > 0 ? -correct(budget, resource, -missing, now) : 0;
}

/** How far beyond the bucket what others spent may be owed, in ms of rate: more would be their debt, not ours. */
const OWED_MS = 10_000;

/** Until `until` (ms), an open window is not spent all at once. */
export function spendEvenly(budget: Budget, until: number): void {
  for (const { tally } of budget.meters) if (tally instanceof Sliding) tally.spendEvenly(until);
}

/**
 * A call that comes and has to wait for more than this part of a window, because the window was spent before: more calls are expected to come like that, for
 * this long (ms).
 */
const CAME = { part: 1 / 10, ms: 600_000 };

/** A call of this many tokens has come and has to wait, while others wait too: from now on something is to be left for calls that come in between. */
export function cameLate(budget: Budget, tokens: number, now: number): void {
  for (const meter of budget.meters) {
    const { tally } = meter;
    if (!(tally instanceof Sliding) || tally.readyAt(amountOf(meter, tokens), now) - now <= tally.spanMs * CAME.part) continue;
    spendEvenly(budget, now + CAME.ms);
  }
}

/** This much more of a limit is spent, by whomever; if negative, free again. Returns how much of it was applied: no more than there was room for. */
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

/** How long what a call takes of one resource needs to refill, ms, by the slowest of its meters. */
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

/** How fast a pool goes by its limits per minute, whatever a day leaves it: requests and tokens per ms. */
export type Pace = { requests?: number; tokens?: number };

export function paceOf({ meters }: Budget): Pace {
  const pace: Pace = {};
  for (const { counts, rate, resource } of meters) if (resource === "rpm" || resource === "tpm") pace[counts] = rate.perMs;
  return pace;
}

/** The share of the scarcer of the two that a call takes, in ms of the pace. */
export function paceMs({ requests, tokens: perMs }: Pace, tokens: number): number {
  return Math.max(requests ? 1 / requests : 0, perMs ? tokens / perMs : 0);
}

/** The resource of which a call takes the greater share. */
export function dominantKind(budget: Budget, tokens: number): Meter["counts"] {
  return costMs(budget, "tokens", tokens) > costMs(budget, "requests", tokens) ? "tokens" : "requests";
}

/** How much later a call of `head` tokens can start if one of `ahead` starts now, by one resource alone; ms. */
export function delayMs(budget: Budget, counts: Meter["counts"], head: number, ahead: number, now: number): number {
  let delay = 0;
  for (const meter of budget.meters)
    if (meter.counts === counts) delay = Math.max(delay, meter.tally.delayMs(amountOf(meter, head), amountOf(meter, ahead), now));
  return delay;
}

/**
 * When the last of `requests` calls, of `tokens` together, is let through if nobody else is there. The last one takes `ownTokens`
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

/** The most of a limit per minute that can be spent at once. */
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
