/**
 * A limit that upstream counts in windows, fixed or sliding. Law: in every interval of `spanMs`, what was taken is at most `limit`. A span is the
 * window and the transit: calls that reach upstream within a window were admitted within a span, so no window can overflow, wherever it begins.
 *
 * It remembers what was taken when. A bucket whose burst and rate keep the same law was rejected: what it lets go at once is missing from its
 * rate, so it used only a tenth of an open window at first, and took a tenth longer for what ten windows hold.
 */
import { type Bucket, FULL, freeAt, give, giveBack, type Rate, readyAt, take } from "./bucket.ts";
import type { Tally } from "./tally.ts";

/**
 * What is taken within this part of the span becomes one entry, dated by the last of it; entries are coarser once there are `many`. So at most a thousand are
 * kept, and a burst is remembered to within a few ms.
 */
const GRAIN = { fine: 1 / 16_384, coarse: 1 / 512, many: 512 };
/** Expired entries are dropped once there are this many of them: together, each costs little. */
const DROPPED = 512;
/**
 * An open window is let go within `ms`, or within the part `least` of its length if that is less, and the part `burst` of it at once: so work that comes in at
 * one instant, but in several messages, is shared and packed as a whole. Tokens go faster, because they go in larger pieces and would otherwise hold requests
 * back.
 */
const OPENING = { requests: { ms: 250, least: 1 / 16, burst: 1 / 128 }, tokens: { ms: 100, least: 1 / 40, burst: 1 / 50 } };
/**
 * Calls beyond those that can leave at once leave as earlier ones begin to be answered. How soon that is, nobody knows: as many as can leave at once are
 * assumed to leave in this time, ms, or what the limit's own rate lets through, if that is more.
 */
const LEAVING_MS = 2_000;
/** If a window is spent evenly, no more than this part of it goes at once. */
export const EVEN = 1 / 10;
/** What is stored is coarser: a row of some 800 characters. */
const WRITTEN_GRAIN = 1 / 40;

/** What was stored may have left this much later, ms. If it left later still, it is stored again. */
export const LATE_MS = 250;

/** Allowance for rounding: of sums of many amounts, as a part of the limit, and of single amounts. */
const ROUNDING = { part: 1e-10, least: 5e-7 };

/**
 * What is stored. `ahead`: how much may be taken until `until` (ms) before it is stored again; records of older versions have no `until`. `taken`: when, and
 * how much, oldest first.
 */
export type Past = { spanMs: number; limit: number; ahead: number; until?: number; taken: [at: number, amount: number][] };

export class Sliding implements Tally {
  readonly limit: number;
  readonly spanMs: number;
  /** What may go at once. It refills faster than the limit comes back, so that nothing is lost by it except at the start. */
  readonly #burst: Rate;
  /** How fast that is let go: one call after the other, but so fast that it is as good as at once. */
  readonly #opening: Rate;
  #evenlyUntil = Number.NEGATIVE_INFINITY;
  readonly #hair: number;
  #bucket: Bucket = FULL;
  #opened: Bucket = FULL;
  /** For each entry: when its first and its last amount were taken, and the running sum of all that was taken up to then. */
  #firsts: number[] = [];
  #lasts: number[] = [];
  #sums: number[] = [];
  /** The first entry that may still count. */
  #head = 0;
  /** How much of the sums came back, oldest first. */
  #back = 0;
  /** The last sum at the time of the last record, less what was taken out since. */
  #written = 0;

  /** `atOnce`: how much can leave at once; null: all of it. */
  constructor(limit: number, spanMs: number, burst: Rate, counts: keyof typeof OPENING, atOnce: number | null = null) {
    this.limit = limit;
    this.spanMs = spanMs;
    this.#burst = burst;
    this.#opening = openingOf(limit, burst.perMs, counts, atOnce);
    this.#hair = ROUNDING.least + limit * ROUNDING.part;
  }

  get at(): number {
    return Math.max(this.#lasts.at(-1) ?? 0, this.#bucket.at);
  }

  /** How many entries it keeps. */
  get size(): number {
    return this.#sums.length;
  }

  spent(now: number): number {
    return this.#total - this.#before(this.#live(now));
  }

  free(now: number): number {
    const [free, pace] = [this.limit - this.spent(now), this.#pace(now)];
    return pace ? Math.min(free, freeAt(this.#bucket, pace, now)) : free;
  }

  /** What is left of the current window, if windows go as soon as they open: what was taken half a span ago or earlier belongs to the one before. */
  left(now: number): number {
    return this.limit - this.#total + this.#before(this.#find(this.#lasts, now - this.spanMs / 2, this.#head));
  }

  readyAt(amount: number, now: number): number {
    const paced = Math.max(readyAt(this.#opened, this.#opening, amount, now), this.#pacedAt(amount, now));
    const live = this.#live(now);
    const before = this.#before(live);
    const missing = this.#total - before + Math.min(amount, this.limit) - this.limit;
    return missing <= this.#hair ? paced : Math.max(paced, this.#goneAt(live, before + missing));
  }

  take(amount: number, now: number): void {
    const pace = this.#pace(now);
    if (pace) this.#bucket = take(this.#bucket, pace, amount, now);
    this.#opened = take(this.#opened, this.#opening, amount, now);
    this.owe(amount, now);
  }

  owe(amount: number, now: number): void {
    const grain = this.#lasts.length - this.#head < GRAIN.many ? GRAIN.fine : GRAIN.coarse;
    this.#record(amount, Math.max(now, this.#lasts.at(-1) ?? 0), this.spanMs * grain);
  }

  /** Oldest first, so that what remains counts for as long as it can. */
  give(amount: number, now: number): void {
    this.#bucket = give(this.#bucket, this.#burst, amount, now);
    const before = this.#before(this.#live(now));
    this.#back = Math.min(this.#total, before + amount);
  }

  giveBack(amount: number, since: number, now: number): void {
    this.#bucket = giveBack(this.#bucket, this.#burst, amount, since, now);
    this.#takeOut(amount, since, this.#sums.length, now);
  }

  /** What was taken at `since` left only at `until`, and counts from then. If `since` was forgotten (-Infinity), it counts twice. */
  leave(amount: number, since: number, until: number, now: number): void {
    const to = this.#find(this.#lasts, until, this.#head);
    const next = this.#lasts[to] ?? Number.POSITIVE_INFINITY;
    let moved = this.#takeOut(amount, since, to, now);
    if (moved === 0 && since + this.spanMs <= now && now < until + this.spanMs) {
      // It counts as expired by now, or may: it is added once more.
      for (let each = to; each < this.#sums.length; each++) this.#sums[each]! += amount;
      moved = amount;
    }
    if (moved === 0) return;
    // It joins the next later entry, if that is near.
    const near = next - until < this.spanMs * GRAIN.coarse;
    // The record has it earlier, and allows for a little.
    if ((near ? next : until) - since > LATE_MS) this.#written -= moved;
    if (near) return;
    this.#firsts.splice(to, 0, until);
    this.#lasts.splice(to, 0, until);
    this.#sums.splice(to, 0, (this.#sums[to - 1] ?? 0) + moved);
  }

  /** What comes free is taken again at once, and comes free once more a span later: everything repeats with each span. */
  clearedAt(amount: number, own: number, now: number): number {
    const pace = this.#pace(now);
    const paced = pace ? now + (amount - freeAt(this.#bucket, pace, now)) / pace.perMs : now;
    const live = this.#live(now);
    const before = this.#before(live);
    const spent = this.#total - before;
    const missing = amount - Math.max(0, own - this.limit) - (this.limit - spent);
    if (missing <= this.#hair) return Math.max(now, paced);
    const spans = Math.max(0, Math.ceil((missing - Math.max(spent, this.limit)) / this.limit));
    const rest = missing - spans * this.limit;
    const first = rest <= spent + this.#hair ? this.#goneAt(live, before + rest) : now + this.spanMs;
    return Math.max(paced, first + spans * this.spanMs);
  }

  delayMs(head: number, ahead: number, now: number): number {
    const alone = this.readyAt(head, now);
    const both = Math.min(head, this.limit) + ahead;
    const beside = both > this.limit + this.#hair ? Math.max(alone, now + this.spanMs) : this.readyAt(both, now);
    const pace = this.#pace(now);
    return Math.max(beside - alone, pace ? ahead / pace.perMs : 0);
  }

  wholeAt(now: number): number {
    return this.spent(now) > 0 ? this.#lasts.at(-1)! + this.spanMs : now;
  }

  /** What was taken stays taken: within a span all of it expires. */
  succeed(before: Tally): void {
    if (!(before instanceof Sliding)) return;
    [this.#firsts, this.#lasts, this.#sums] = [before.#firsts, before.#lasts, before.#sums];
    [this.#head, this.#back, this.#written] = [before.#head, before.#back, before.#written];
    this.#evenlyUntil = before.#evenlyUntil;
    this.#opened = { ...before.#opened, spent: Math.min(before.#opened.spent, this.#opening.burst) };
    this.#bucket = { ...before.#bucket, spent: Math.min(before.#bucket.spent, this.#burst.burst) };
  }

  /** Until `until` (ms), what is free does not all go at once. */
  spendEvenly(until: number): void {
    this.#evenlyUntil = Math.max(this.#evenlyUntil, until);
  }

  /** A record to store. Before the next one, no more than `ahead` may be taken until `until` (ms), and nothing after that. */
  write(ahead: number, until: number, now: number): Past {
    const taken: Past["taken"] = [];
    let since = Number.NEGATIVE_INFINITY;
    for (let index = this.#live(now); index < this.#sums.length; index++) {
      const amount = this.#sums[index]! - this.#before(index);
      const last = taken.at(-1);
      if (amount <= 0) continue;
      if (last && this.#lasts[index]! - since < this.spanMs * WRITTEN_GRAIN) {
        taken[taken.length - 1] = [this.#lasts[index]!, last[1] + amount];
      } else {
        since = this.#firsts[index]!;
        taken.push([this.#lasts[index]!, amount]);
      }
    }
    this.#written = this.#total;
    return { spanMs: this.spanMs, limit: this.limit, ahead: Math.min(ahead, this.limit), until, taken };
  }

  /** Whether the last record still covers what was taken until now. */
  isWritten({ ahead, limit, spanMs, until = Number.POSITIVE_INFINITY }: Past, now: number): boolean {
    const since = this.#total - Math.max(this.#written, this.#before(this.#live(now)));
    if (limit !== this.limit || spanMs !== this.spanMs) return false;
    // A record that runs ahead by all of the limit covers whatever was taken until then.
    return since <= this.#hair || (this.#lasts.at(-1)! <= until && (ahead >= limit || since <= ahead + this.#hair));
  }

  /** Goes on from a record. When the part ahead was taken is unknown: it counts from as late as it can have been. */
  restore({ ahead, limit, spanMs, taken, until = Number.POSITIVE_INFINITY }: Past, now: number): void {
    const first = taken[0]?.[0] ?? now;
    // If its spans were shorter, older calls were forgotten: no more than its limit in each such span.
    for (let at = first - Math.ceil(this.spanMs / spanMs) * spanMs; spanMs < this.spanMs && at <= first; at += spanMs)
      this.#record(limit, at, 0);
    for (const [at, amount] of taken) this.#record(amount, Math.max(at, Math.min(now, at + LATE_MS)), 0);
    this.#written = this.#total;
    this.#record(ahead, Math.max(Math.min(now, until), this.at), 0);
  }

  /** Goes on from a bucket that kept to a rate of `perMs` until `at` (ms), and of which `burst` was spent. */
  restoreSteady(perMs: number, burst: number, at: number): void {
    const step = this.spanMs * WRITTEN_GRAIN;
    for (let back = this.spanMs; back > step / 2; back -= step) this.#record(perMs * step, at - back + step, 0);
    this.#record(Math.max(burst, this.limit - perMs * this.spanMs), at, 0);
  }

  /** The pace at an instant; null if all that is free may go at once. */
  #pace(now: number): Rate | null {
    const { burst, perMs } = this.#burst;
    const most = now < this.#evenlyUntil ? Math.min(burst, this.limit * EVEN) : burst;
    return most < this.limit ? { perMs, burst: most } : null;
  }

  /** When this amount may go, at the pace of that time: spending evenly may end before. */
  #pacedAt(amount: number, now: number): number {
    const pace = this.#pace(now);
    const at = pace ? readyAt(this.#bucket, pace, amount, now) : now;
    return now < this.#evenlyUntil && this.#evenlyUntil < at ? this.#pacedAt(amount, this.#evenlyUntil) : at;
  }

  /** Takes an amount out of the entry of its time, and returns how much was there: nothing if that has expired. Sums from `to` on stay as they are. */
  #takeOut(amount: number, since: number, to: number, now: number): number {
    const index = this.#find(this.#lasts, since, this.#live(now));
    if (index >= to || this.#firsts[index]! > since) return 0;
    const before = this.#before(index);
    const out = Math.min(amount, Math.max(0, this.#sums[index]! - before));
    // The record may include it. If it went on counting there, more could be taken from now on than the record covers.
    if (to === this.#sums.length && this.#written > before) this.#written -= out;
    for (let each = index; each < to; each++) this.#sums[each]! -= out;
    return out;
  }

  get #total(): number {
    return this.#sums.at(-1) ?? 0;
  }

  #record(amount: number, at: number, grainMs: number): void {
    if (amount <= 0) return;
    this.#forget(at);
    const last = this.#sums.length - 1;
    if (last >= this.#head && at - this.#firsts[last]! < grainMs) {
      this.#lasts[last] = at;
      this.#sums[last]! += amount;
      return;
    }
    this.#firsts.push(at);
    this.#lasts.push(at);
    this.#sums.push(Math.max(this.#total, this.#back) + amount);
  }

  #forget(now: number): void {
    this.#head = this.#live(now);
    if (this.#head < Math.min(DROPPED, this.#sums.length)) return;
    const gone = this.#sums[this.#head - 1] ?? 0;
    this.#firsts = this.#firsts.slice(this.#head);
    this.#lasts = this.#lasts.slice(this.#head);
    // The sums begin anew here, so that they stay small: large ones are less exact.
    this.#sums = this.#sums.slice(this.#head).map((sum) => sum - gone);
    this.#back = Math.max(0, this.#back - gone);
    this.#written = Math.max(0, this.#written - gone);
    this.#head = 0;
  }

  /** The first entry that counts at an instant. */
  #live(now: number): number {
    const { length } = this.#lasts;
    let low = this.#head;
    let high = length;
    // Mostly it is the first.
    if (low < length && this.#lasts[low]! + this.spanMs > now) return low;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#lasts[middle]! + this.spanMs <= now) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The sum before an entry, or what came back if that is more. */
  #before(index: number): number {
    return Math.max(this.#back, this.#sums[index - 1] ?? 0);
  }

  /** When all up to this sum has expired, ms. */
  #goneAt(from: number, sum: number): number {
    const index = this.#find(this.#sums, sum - this.#hair, from);
    return this.#lasts[Math.min(index, this.#lasts.length - 1)]! + this.spanMs;
  }

  /** The index, from `from` on, of the first number that is at least `least`. The numbers are ascending. */
  #find(numbers: readonly number[], least: number, from: number): number {
    let [low, high] = [from, numbers.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[middle]! < least) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function openingOf(limit: number, perMs: number, counts: keyof typeof OPENING, atOnce: number | null): Rate {
  const { burst: part, least, ms } = OPENING[counts];
  const [burst, all] = [limit * part, Math.max(limit / ms, perMs / least)];
  if (atOnce === null || limit <= atOnce) return { perMs: all, burst };
  return { perMs: Math.min(all, Math.max(perMs, atOnce / LEAVING_MS)), burst: Math.min(burst, atOnce) };
}
