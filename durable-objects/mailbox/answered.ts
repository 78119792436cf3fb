/**
 * Calls that a moment ago were answered whole, or refused before they became jobs. Law: what was sent may not have arrived. A connection can break over
 * the last bytes of an answer, and nobody here knows; a call that says it is a retry is given that answer again, unless it may be the retry of one
 * that was refused. Of a moment only, so memory is enough.
 */

/** SDKs wait eight seconds at most between two tries. */
const MOMENT_MS = 10_000;

type Note = { until: number };

export class Answered {
  readonly #now: () => number;
  /** By the hash of the caller's key and body: the job whose answer was sent last. */
  readonly #sent = new Map<string, Note & { n: number }>();
  /** The same: calls that were refused, and have not come again. */
  readonly #refused = new Map<string, Note & { calls: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  sent(body: string, n: number): void {
    put(this.#sent, body, { n, until: this.#now() + MOMENT_MS }, this.#now());
  }

  refused(body: string): void {
    const calls = (this.#refused.get(body)?.calls ?? 0) + 1;
    put(this.#refused, body, { calls, until: this.#now() + MOMENT_MS }, this.#now());
  }

  /** Whether a retry may be that of a call that was refused; each explains one. */
  explains(body: string): boolean {
    const refused = this.#refused.get(body);
    if (!refused || refused.until <= this.#now()) return false;
    if (--refused.calls === 0) this.#refused.delete(body);
    return true;
  }

  /** The job whose answer a retry may have missed; null if there is none. */
  missedBy(body: string): number | null {
    const sent = this.#sent.get(body);
    return sent && sent.until > this.#now() ? sent.n : null;
  }
}

/** Puts last what is noted last, and forgets what is over. */
function put<N extends Note>(notes: Map<string, N>, body: string, note: N, now: number): void {
  notes.delete(body);
  notes.set(body, note);
  for (const [old, { until }] of notes) {
    if (until > now) break;
    notes.delete(old);
  }
}
