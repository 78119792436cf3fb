/**
 * Calls that were refused a moment ago, before they became jobs, and answers that were given again. Law: the retry of a refused call does not get
 * another call's answer, and if two calls lost their answers, each gets one. This matters only for a moment, so memory is enough.
 */

/** SDKs wait eight seconds at most between two tries. */
export const MOMENT_MS = 10_000;

type Note = { times: number; until: number };

export class Answered {
  readonly #now: () => number;
  /** Refused calls that have not come again, by the hash of the caller's key and body. */
  readonly #refused = new Map<string, Note>();
  /** By job: how often its answer was given again. */
  readonly #again = new Map<number, Note>();

  constructor(now: () => number) {
    this.#now = now;
  }

  refused(body: string): void {
    add(this.#refused, body, this.#now());
  }

  /** Whether a retry may be that of a refused call; each refusal explains one retry. */
  explains(body: string): boolean {
    const refused = this.#refused.get(body);
    if (!refused || refused.until <= this.#now()) return false;
    if (--refused.times === 0) this.#refused.delete(body);
    return true;
  }

  /** Among jobs whose answers may not have arrived, the first that was given again least often, if fewer than `most` times; counts it as given again now. */
  least(jobs: readonly number[], most: number): number | null {
    const times = (n: number) => timesOf(this.#again.get(n), this.#now());
    let least: number | null = null;
    for (const n of jobs) if (times(n) < (least === null ? most : times(least))) least = n;
    if (least !== null) add(this.#again, least, this.#now());
    return least;
  }
}

const timesOf = (note: Note | undefined, now: number): number => (note && note.until > now ? note.times : 0);

/** Adds a note in last place, and forgets those that are over. */
function add<K>(notes: Map<K, Note>, key: K, now: number): void {
  const times = timesOf(notes.get(key), now) + 1;
  notes.delete(key);
  notes.set(key, { times, until: now + MOMENT_MS });
  for (const [old, { until }] of notes) {
    if (until > now) break;
    notes.delete(old);
  }
}
