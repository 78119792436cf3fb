/**
 * What part of what its calls reserve a flow uses. A start is charged that, and the rest is settled at the call's end: were it charged all, those whose calls are short or use
 * much of it would have theirs settled first, and the others go behind for nothing. Law: what a call used is charged in the end, whatever was thought at its start.
 */

/** The part of the last so many calls. Fewer differ by chance: by what they are off, all calls of a window are charged off. */
const KEPT = 256;
/** A flow whose calls used little may have calls under way that use all of it: until these end it is ahead by what it was not charged. Never less than this part, nor more than that. */
const BOUNDS = { least: 1 / 4, most: 4 };
/** So many calls of its own count as much as what is thought of flows of which nothing is known; and of fewer nothing is thought of others. */
const OWN = 16;
/** Parts of others are told apart in so many steps. */
const STEPS = 64;

/** Of a flow: calls seen, and means of what the last of them reserved and used, tokens. */
export type Use = { seen: number; reserved: number; used: number };

export const unseen = (): Use => ({ seen: 0, reserved: 0, used: 0 });

/**
 * Of all flows of a pool. One of which nothing is known is thought to use as much as the one that uses most, and no more than it reserves: were it the mean, a tenant whose calls use next to nothing
 * would let everybody who comes have calls for a part of what they cost, until the first of these end.
 */
export class Uses {
  /** Flows that are known, by their part in steps, rounded up. */
  readonly #counts = new Uint32Array(STEPS + 1);
  #most = 0;
  #recalled: number | null = null;

  /** A call of a flow is over. Of one whose use nobody can tell: all that it reserved. */
  note(use: Use, reserved: number, used: number): void {
    if (use.seen >= OWN) this.#count(use, -1);
    use.seen++;
    const kept = Math.min(KEPT, use.seen);
    use.reserved += (reserved - use.reserved) / kept;
    use.used += (used - use.used) / kept;
    if (use.seen >= OWN) this.#count(use, 1);
  }

  /** What is charged of what a call of the flow reserves. `known`: `part`, for who asks for many. */
  partOf(use: Use, known = this.part): number {
    return use.seen === 0 ? known : known + ((ownPart(use) - known) * use.seen) / (use.seen + OWN);
  }

  /** What is thought of a flow of which nothing is known. */
  get part(): number {
    return this.#most > 0 ? this.#most / STEPS : (this.#recalled ?? 1);
  }

  /** Whether nothing is known of any. */
  get isEmpty(): boolean {
    return this.#most === 0 && this.#recalled === null;
  }

  /** What was thought before a restart. */
  recall(part: number): void {
    this.#recalled = part;
  }

  #count(use: Use, more: 1 | -1): void {
    const step = Math.ceil(Math.min(1, ownPart(use)) * STEPS);
    this.#counts[step]! += more;
    if (more > 0) this.#most = Math.max(this.#most, step);
    while (this.#most > 0 && this.#counts[this.#most] === 0) this.#most--;
  }
}

function ownPart({ reserved, used }: Use): number {
  return reserved > 0 ? Math.min(BOUNDS.most, Math.max(BOUNDS.least, used / reserved)) : 1;
}
