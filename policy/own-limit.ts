/**
 * Which of the limits that are told under one header's name is the pool's own. Upstream can count requests of one pool in several buckets (those of a long context, those of each
 * model), whose answers tell several limits by turns. Law: a limit that one answer tells and the next denies is not the pool's, however low it is; one that is told
 * and not denied is, within seconds.
 */

/** One that no answer has told for so long, while one told another, is another from now on, ms; sooner where so many in a row told the other. */
const SILENT_MS = 2_000;
const MANY = { answers: 20, ms: 250 };
/** One that stood between two tellings of the other for no longer, or for no more answers, is another bucket's, and so it is for a while. */
const BRIEF = { ms: 10_000, answers: 2 };
const APART_MS = 600_000;
/** Another bucket's becomes the pool's own if so many answers in a row told it, and of those of late so many times as many as told the own. */
const MAJORITY = { inRow: 3, times: 2, fadeMs: 30_000 };
/** Limits that are remembered. */
const MOST = 8;

/** `answers`: that told it, fading; `since`: the first of them, of those that minutes do not part, nor a time as the pool's own; `apartAt`: when it was last another bucket's. */
type Known = { answers: number; at: number; since: number | null; apartAt: number };
/** One limit told, and no other, since then. */
type Row = { limit: number; since: number; last: number; answers: number };

export class OwnLimit {
  readonly #known = new Map<number, Known>();
  #own: Row | null = null;
  /** What has been told since the own was. */
  #other: Row | null = null;

  /**
   * An answer told it at `at` (ms), to a call that was sent at `sentAt`. True: it is the pool's own. What was sent before the other was ever told, and is answered since, tells of the limit
   * as it was: it does not make the other another bucket's.
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

  /** What was told last and became the pool's own by `now` (ms), for nobody denied it; null if there is no such. */
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
    // Were it told again, calls that were sent before that say nothing of it.
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
