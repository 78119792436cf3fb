/**
 * Which of the limits reported under one header name is the pool's own. Upstream can count requests of one pool in several buckets (long contexts, or each
 * model, apart), and answers then report their limits by turns. Law: a limit that one answer reports and the next contradicts is not the pool's, however low it
 * is; one that is reported and not contradicted is, within seconds.
 */

/** If no answer has reported the own limit for this long (ms), and one reported another, that replaces it; after `MANY.ms` if `MANY.answers` in a row did. */
const SILENT_MS = 2_000;
const MANY = { answers: 20, ms: 250 };
/** A limit reported between two reports of another, for less than `ms` or by at most `answers` answers, is another bucket's. It stays so for `APART_MS`. */
const BRIEF = { ms: 10_000, answers: 2 };
const APART_MS = 600_000;
/** Another bucket's limit becomes the pool's own if `inRow` answers in a row reported it, and lately `times` as many as reported the own one. */
const MAJORITY = { inRow: 3, times: 2, fadeMs: 30_000 };
/** Limits remembered at most. */
const MOST = 8;

/**
 * `answers`: how many reported it, fading. `since`: when it was first reported, after the last gap of `APART_MS`; null since it ceased to be the pool's own,
 * until it is reported again. `apartAt`: when it was last another bucket's.
 */
type Known = { answers: number; at: number; since: number | null; apartAt: number };
/** Reports of one limit in a row, with no other between. */
type Row = { limit: number; since: number; last: number; answers: number };

export class OwnLimit {
  readonly #known = new Map<number, Known>();
  #own: Row | null = null;
  /** What has been reported since the own limit was. */
  #other: Row | null = null;

  /**
   * An answer reported `limit` at `at` (ms), to a call sent at `sentAt`. True: it is the pool's own. An answer to a call that was sent before the other limit
   * was first reported shows the limit of that time: it does not contradict the other one.
   */
  told(limit: number, sentAt: number, at: number): boolean {
    this.#count(limit, at);
    if (this.#own === null || limit === this.#own.limit) {
      const other = this.#other && this.#known.get(this.#other.limit)!;
      if (other && isBrief(this.#other!, at) && sentAt > other.since!) other.apartAt = at;
      this.#other = null;
      this.#own = lengthened(this.#own, limit, at);
      return true;
    }
    this.#other = lengthened(this.#other?.limit === limit ? this.#other : null, limit, at);
    return this.#isOwn(this.#other, at) && this.#change(at);
  }

  /** The limit reported last, if it became the pool's own by `now` (ms) because no answer contradicted it; null otherwise. */
  undenied(now: number): { limit: number; at: number } | null {
    const other = this.#other;
    if (!other || now - other.last < SILENT_MS || !this.#isOwn(other, now)) return null;
    this.#change(now);
    return { limit: other.limit, at: other.last };
  }

  #isOwn({ answers, limit }: Row, now: number): boolean {
    const [own, other] = [this.#known.get(this.#own!.limit), this.#known.get(limit)!];
    const silent = now - this.#own!.last;
    if (now - other.apartAt > APART_MS) return silent >= (answers >= MANY.answers ? MANY.ms : SILENT_MS);
    return answers >= MAJORITY.inRow && faded(other, now) >= (own ? faded(own, now) : 0) * MAJORITY.times;
  }

  #change(at: number): true {
    const before = this.#known.get(this.#own!.limit);
    if (before && isBrief(this.#own!, at)) before.apartAt = at;
    // If it is reported again, calls sent before that do not contradict it.
    if (before) before.since = null;
    this.#own = this.#other!;
    this.#known.get(this.#own.limit)!.apartAt = Number.NEGATIVE_INFINITY;
    this.#other = null;
    return true;
  }

  #count(limit: number, at: number): void {
    const known = this.#known.get(limit);
    this.#known.delete(limit);
    const since = known && at - known.at <= APART_MS ? known.since : null;
    this.#known.set(limit, {
      answers: (known ? faded(known, at) : 0) + 1,
      at,
      since: since ?? at,
      apartAt: known?.apartAt ?? Number.NEGATIVE_INFINITY,
    });
    if (this.#known.size > MOST) this.#known.delete(this.#known.keys().next().value!);
  }
}

function lengthened(row: Row | null, limit: number, at: number): Row {
  return { limit, since: row?.since ?? at, last: at, answers: (row?.answers ?? 0) + 1 };
}

function isBrief({ answers, since }: Row, at: number): boolean {
  return answers <= BRIEF.answers || at - since < BRIEF.ms;
}

function faded({ answers, at }: Known, now: number): number {
  return answers * Math.exp(-Math.max(0, now - at) / MAJORITY.fadeMs);
}
