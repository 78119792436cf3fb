/**
 * Calls that a moment ago were refused before they became jobs, and answers that were given again. Law: the retry of a call that was refused is given
 * no other's answer, and of two that lost theirs each is given one. Of a moment only, so memory is enough.
 */

/** SDKs wait eight seconds at most between two tries. */
export const MOMENT_MS = 10_000;

type Note = { times: number; until: number };

export class Answered {
  readonly #now: () => number;
  /** By the hash of the caller's key and body: calls that were refused, and have not come again. */
  readonly #refused = new Map<string, Note>();
  /** By job: how often its answer was given again. */
  readonly #again = new Map<number, Note>();

  constructor(now: () => number) {
    this.#now = now;
  }

  refused(body: string): void {
    add(this.#refused, body, this.#now());
  }

  /** Whether a retry may be that of a call that was refused; each explains one. */
  explains(body: string): boolean {
    const refused = this.#refused.get(body);
    if (!refused || refused.until <= this.#now()) return false;
    if (--refused.times === 0) this.#refused.delete(body);
    return true;
  }

  /** Of jobs whose answers may not have arrived, that which was given again least, and fewer times than so many, the first of these; it is given again now. */
  least(jobs: readonly number[], most: number): number | null {
    const times = (n: number) => timesOf(this.#again.get(n), this.#now());
    let least: number | null = null;
    for (const n of jobs) if (times(n) < (least === null ? most : times(least))) least = n;
    if (least !== null) add(this.#again, least, this.#now());
    return least;
  }
}

const timesOf = (note: Note | undefined, now: number): number => (note && note.until > now ? note.times : 0);

/** Puts last what is noted last, and forgets what is over. */
function add<K>(notes: Map<K, Note>, key: K, now: number): void {
  const times = timesOf(notes.get(key), now) + 1;
  notes.delete(key);
  notes.set(key, { times, until: now + MOMENT_MS });
  for (const [old, { until }] of notes) {
    if (until > now) break;
    notes.delete(old);
  }
}
