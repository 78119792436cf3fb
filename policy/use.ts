/**
 * What part of what its calls reserve a flow uses. A start is charged that, and the rest is settled at the call's end: were it charged all, those whose calls are short or use
 * much of it would have theirs settled first, and the others go behind for nothing. Law: what a call used is charged in the end, whatever was thought at its start.
 */

/** The part of the last so many calls. Fewer differ by chance: by what they are off, all calls of a window are charged off. */
const KEPT = 256;
/**
 * A flow whose calls used little may have calls under way that use all of it: until these end it is ahead by what it was not charged. Never less than this part. Of calls that use more than they reserve, what was not charged becomes a debt when they
 * end, and is forgiven if nobody else waits just then. Of many tiny ones that use thousands of times that, a large one would be charged hundreds. Never more than that part.
 */
const BOUNDS = { least: 1 / 4, most: 32 };
/** So many of its own calls of the size in question count as much as what is thought of flows of which nothing is known. */
const OWN = 8;
/** Of a flow that has had fewer, nothing is thought of others. */
const KNOWN = 16;
/** Parts of others are told apart in so many steps. */
const STEPS = 64;

/** Of a flow: what its last calls reserved and used, added up, tokens; and the squares of what they reserved. */
export type Use = { reserved: number; used: number; squares: number };

export const unseen = (): Use => ({ reserved: 0, used: 0, squares: 0 });

/**
 * Of all flows of a pool. One of which nothing is known is thought to use as much as the one that uses most, and no more than it reserves: were it the mean, a tenant whose calls use next to nothing
 * would let everybody who comes have calls for a part of what they cost, until the first of these end.
 */
export class Uses {
  /** Flows that are known, by their part in steps, rounded up. */
  readonly #counts = new Uint32Array(STEPS + 1);
  #most = 0;
  #recalled = 1;

  /** A call of a flow is over. Of one whose use nobody can tell: all that it reserved. Many small calls make no large one forgotten: each counts by what it reserves. */
  note(use: Use, reserved: number, used: number): void {
    if (!(reserved > 0)) return;
    if (isKnown(use)) this.#count(use, -1);
    const kept = Math.exp(-reserved / (KEPT * Math.max(reserved, sizeOf(use))));
    use.reserved = use.reserved * kept + reserved;
    use.used = use.used * kept + used;
    use.squares = use.squares * kept + reserved * reserved;
    if (isKnown(use)) this.#count(use, 1);
  }

  /** What is charged of what a call of the flow reserves. Small calls tell little of a large one. `known`: `part`, for who asks for many. */
  partOf(use: Use, tokens: number, known = this.part): number {
    if (use.reserved === 0) return known;
    const calls = use.reserved / Math.max(1, tokens);
    return known + ((ownPart(use) - known) * calls) / (calls + OWN);
  }

  /** What is thought of a flow of which nothing is known. */
  get part(): number {
    return this.#most > 0 ? this.#most / STEPS : this.#recalled;
  }

  /** What was thought before a restart. */
  recall(part: number): void {
    this.#recalled = part;
  }

  /** What was known of a flow before a restart; nothing is known of it since. */
  remember(use: Use, before: Use): void {
    Object.assign(use, before);
    if (isKnown(use)) this.#count(use, 1);
  }

  #count(use: Use, more: 1 | -1): void {
    const step = Math.ceil(Math.min(1, ownPart(use)) * STEPS);
    this.#counts[step]! += more;
    if (more > 0) this.#most = Math.max(this.#most, step);
    while (this.#most > 0 && this.#counts[this.#most] === 0) this.#most--;
  }
}

/** The size of its calls, tokens: the larger weigh more. */
function sizeOf({ reserved, squares }: Use): number {
  return reserved > 0 ? squares / reserved : 0;
}

export function isKnown(use: Use): boolean {
  return use.reserved >= KNOWN * sizeOf(use) && use.reserved > 0;
}

export function usesMore({ reserved, used }: Use): boolean {
  return used > reserved;
}

function ownPart({ reserved, used }: Use): number {
  return Math.min(BOUNDS.most, Math.max(BOUNDS.least, used / reserved));
}
