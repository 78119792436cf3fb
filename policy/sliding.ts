/**
 * A limit that upstream counts in windows, fixed or sliding. Law: in every interval of `spanMs`, what was taken is at most `limit`. A span is the
 * window and the transit: calls that reach upstream within a window were admitted within a span, so no window can overflow, wherever it begins.
 *
 * It remembers what was taken when. A bucket whose burst and rate keep the same law was rejected: what it lets go at once is missing from its
 * rate, so of a window that stands open it used a tenth at first, and took a tenth longer for what ten windows hold.
 */
import { type Bucket, FULL, freeAt, give, giveBack, type Rate, readyAt, take } from "./bucket.ts";
import type { Tally } from "./tally.ts";

/** What was taken within this part of the span is one entry, as of the last of it; a coarser one where there are many already. So a thousand are kept at the most, and a burst is remembered to some ms. */
const GRAIN = { fine: 1 / 16_384, coarse: 1 / 512, many: 512 };
/** Entries that are over are dropped when there are so many: each costs little then. */
const DROPPED = 512;
/**
 * A window that stands open goes within so many ms, or that part of it if that is less, and so much of it at once: work that comes in within one instant, but not in one message, is shared and
 * packed all together. Of what goes in large pieces more, else it would be the one that keeps the other.
 */
const OPENING = { requests: { ms: 250, least: 1 / 16, burst: 1 / 128 }, tokens: { ms: 100, least: 1 / 40, burst: 1 / 50 } };
/** More than can leave at once leaves as fast as calls of before begin to be answered, ms; or at the limit's own rate, if that is more: how soon they are answered, nobody knows. */
const LEAVING_MS = 2_000;
/** Where it is spent evenly, no more than this part goes at once. */
export const EVEN = 1 / 10;
/** What is written of it is coarser: a row of some 800 characters. */
const WRITTEN_GRAIN = 1 / 40;

/** What is written may have left so much later, ms: more, and it is written again. */
export const LATE_MS = 250;

/** Rounding of sums of many amounts, and of single ones. */
const ROUNDING = { part: 1e-10, least: 5e-7 };

/** What is written down. `ahead`: so much may be taken until `until` (ms) before it is written again; one of old has no end. `taken`: when, and how much, the oldest first. */
export type Past = { spanMs: number; limit: number; ahead: number; until?: number; taken: [at: number, amount: number][] };

export class Sliding implements Tally {
  readonly limit: number;
  readonly spanMs: number;
  /** What may go at once. It refills faster than the limit comes back, so that no more is lost by it than at the start. */
  readonly #burst: Rate;
  /** And how what may is let go: one after the other, though so fast that it is as good as at once. */
  readonly #opening: Rate;
  #evenlyUntil = Number.NEGATIVE_INFINITY;
  readonly #hair: number;
  #bucket: Bucket = FULL;
  #opened: Bucket = FULL;
  /** Of each entry: when its first amount was taken and its last; and all that was taken until then, from some beginning on. */
  #firsts: number[] = [];
  #lasts: number[] = [];
  #sums: number[] = [];
  /** The first that may still count. */
  #head = 0;
  /** So much of the sums came back, the oldest first. */
  #back = 0;
  /** What the sums were when it was last written. */
  #written = 0;

  /** `atOnce`: what can leave at once; null: all of it. */
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

  /** What is not taken yet of the window that is under way, where windows go as soon as they open: what was taken half a span ago and more was of one before. */
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

  /** The oldest first: what is left is believed to count for as long as it can. */
  give(amount: number, now: number): void {
    this.#bucket = give(this.#bucket, this.#burst, amount, now);
    const before = this.#before(this.#live(now));
    this.#back = Math.min(this.#total, before + amount);
  }

  giveBack(amount: number, since: number, now: number): void {
    this.#bucket = giveBack(this.#bucket, this.#burst, amount, since, now);
    this.#takeOut(amount, since, this.#sums.length, now);
  }

  /** What was taken at `since` left only at `until`: it counts from then. Where it is forgotten since when it was there (-Infinity), it counts twice. */
  leave(amount: number, since: number, until: number, now: number): void {
    const to = this.#find(this.#lasts, until, this.#head);
    const next = this.#lasts[to] ?? Number.POSITIVE_INFINITY;
    let moved = this.#takeOut(amount, since, to, now);
    if (moved === 0 && since + this.spanMs <= now && now < until + this.spanMs) {
      // It was thought to be over, or may be: it counts once more.
      for (let each = to; each < this.#sums.length; each++) this.#sums[each]! += amount;
      moved = amount;
    }
    if (moved === 0) return;
    // As of an entry that is later, if that is near.
    const near = next - until < this.spanMs * GRAIN.coarse;
    // What was written has it earlier, and allows for a little.
    if ((near ? next : until) - since > LATE_MS) this.#written -= moved;
    if (near) return;
    this.#firsts.splice(to, 0, until);
    this.#lasts.splice(to, 0, until);
    this.#sums.splice(to, 0, (this.#sums[to - 1] ?? 0) + moved);
  }

  /** What comes free is taken again at once, and comes free again a span later: all repeats itself. */
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

  /** What was taken stays taken: in a span all of it is over. */
  succeed(before: Tally): void {
    if (!(before instanceof Sliding)) return;
    [this.#firsts, this.#lasts, this.#sums] = [before.#firsts, before.#lasts, before.#sums];
    [this.#head, this.#back, this.#written] = [before.#head, before.#back, before.#written];
    this.#evenlyUntil = before.#evenlyUntil;
    this.#opened = { ...before.#opened, spent: Math.min(before.#opened.spent, this.#opening.burst) };
    this.#bucket = { ...before.#bucket, spent: Math.min(before.#bucket.spent, this.#burst.burst) };
  }

  /** Until then not all that is there goes at once. */
  spendEvenly(until: number): void {
    this.#evenlyUntil = Math.max(this.#evenlyUntil, until);
  }

  /** To be written: from now until `until` no more than `ahead` may be taken, and later nothing, until it is written again. */
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

  /** Whether what was written last stands for what was taken until now. */
  isWritten({ ahead, limit, spanMs, until = Number.POSITIVE_INFINITY }: Past, now: number): boolean {
    const since = this.#total - Math.max(this.#written, this.#before(this.#live(now)));
    if (limit !== this.limit || spanMs !== this.spanMs) return false;
    // Where all of the limit was written ahead, it stands for whatever was taken until then.
    return since <= this.#hair || (this.#lasts.at(-1)! <= until && (ahead >= limit || since <= ahead + this.#hair));
  }

  /** Goes on from what was written. When what it ran ahead was taken is not known: as late as can be. */
  restore({ ahead, limit, spanMs, taken, until = Number.POSITIVE_INFINITY }: Past, now: number): void {
    const first = taken[0]?.[0] ?? now;
    // Counted in shorter spans before, older calls were forgotten: no more than the limit of then in each.
    for (let at = first - Math.ceil(this.spanMs / spanMs) * spanMs; spanMs < this.spanMs && at <= first; at += spanMs)
      this.#record(limit, at, 0);
    for (const [at, amount] of taken) this.#record(amount, Math.max(at, Math.min(now, at + LATE_MS)), 0);
    this.#written = this.#total;
    this.#record(ahead, Math.max(Math.min(now, until), this.at), 0);
  }

  /** After `rate` was kept to until `at`, by a bucket of which `burst` was spent. */
  restoreSteady(perMs: number, burst: number, at: number): void {
    const step = this.spanMs * WRITTEN_GRAIN;
    for (let back = this.spanMs; back > step / 2; back -= step) this.#record(perMs * step, at - back + step, 0);
    this.#record(Math.max(burst, this.limit - perMs * this.spanMs), at, 0);
  }

  /** How it goes at an instant; null if all that is there may go at once. */
  #pace(now: number): Rate | null {
    const { burst, perMs } = this.#burst;
    const most = now < this.#evenlyUntil ? Math.min(burst, this.limit * EVEN) : burst;
    return most < this.limit ? { perMs, burst: most } : null;
  }

  /** When so much may go, as it goes then: it may be spent evenly for a while alone. */
  #pacedAt(amount: number, now: number): number {
    const pace = this.#pace(now);
    const at = pace ? readyAt(this.#bucket, pace, amount, now) : now;
    return now < this.#evenlyUntil && this.#evenlyUntil < at ? this.#pacedAt(amount, this.#evenlyUntil) : at;
  }

  /** Takes an amount out of the entry of its time, and answers how much was there; after `to` the sums stay. Of what is over, and so counts no more, nothing is. */
  #takeOut(amount: number, since: number, to: number, now: number): number {
    const index = this.#find(this.#lasts, since, this.#live(now));
    if (index >= to || this.#firsts[index]! > since) return 0;
    const before = this.#before(index);
    const out = Math.min(amount, Math.max(0, this.#sums[index]! - before));
    // It may have been taken before that was written: else more than was written could be taken since.
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
    // From here on, so that sums stay small: large ones are less exact.
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

  /** What the sums were before an entry, and what of it came back. */
  #before(index: number): number {
    return Math.max(this.#back, this.#sums[index - 1] ?? 0);
  }

  /** When the sums are gone up to so much. */
  #goneAt(from: number, sum: number): number {
    const index = this.#find(this.#sums, sum - this.#hair, from);
    return this.#lasts[Math.min(index, this.#lasts.length - 1)]! + this.spanMs;
  }

  /** The first from an index on that is not less; they rise. */
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
