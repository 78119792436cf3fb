/**
 * Calls that a moment ago were answered whole, or refused before they became jobs. Law: what was sent may not have arrived. A connection can break over
 * the last bytes of an answer, and nobody here knows; a call that says it is a retry is given that answer again, unless it may be the retry of one
 * that was refused. Of a moment only, so memory is enough.
 */

/** SDKs wait eight seconds at most between two tries. */
export const MOMENT_MS = 10_000;

type Sent = { n: number; until: number; given: number };
type Refused = { calls: number; until: number };

export class Answered {
  readonly #now: () => number;
  /** By the hash of the caller's key and body: jobs whose answers were sent, the last first, and how often each was given again. */
  readonly #sent = new Map<string, Sent[]>();
  /** The same: calls that were refused, and have not come again. */
  readonly #refused = new Map<string, Refused>();

  constructor(now: () => number) {
    this.#now = now;
  }

  sent(body: string, n: number): void {
    const now = this.#now();
    const known = this.#sent.get(body) ?? [];
    const others = known.filter((each) => each.until > now && each.n !== n);
    const given = known.find((each) => each.n === n)?.given ?? 0;
    put(this.#sent, body, [{ n, until: now + MOMENT_MS, given }, ...others], ([last]) => last!.until > now);
  }

  refused(body: string): void {
    const now = this.#now();
    const calls = (this.#refused.get(body)?.calls ?? 0) + 1;
    put(this.#refused, body, { calls, until: now + MOMENT_MS }, ({ until }) => until > now);
  }

  /** Whether a retry may be that of a call that was refused; each explains one. */
  explains(body: string): boolean {
    const refused = this.#refused.get(body);
    if (!refused || refused.until <= this.#now()) return false;
    if (--refused.calls === 0) this.#refused.delete(body);
    return true;
  }

  /** The job whose answer a retry may have missed: that which was given again least, the last of these; null if there is none. */
  missedBy(body: string): number | null {
    const sent = (this.#sent.get(body) ?? []).filter(({ until }) => until > this.#now());
    const missed = sent.find(({ given }) => given === Math.min(...sent.map((each) => each.given)));
    if (missed) missed.given++;
    return missed?.n ?? null;
  }
}

/** Puts last what is noted last, and forgets what is over. */
function put<N>(notes: Map<string, N>, body: string, note: N, lasts: (note: N) => boolean): void {
  notes.delete(body);
  notes.set(body, note);
  for (const [old, each] of notes) {
    if (lasts(each)) break;
    notes.delete(old);
  }
}
