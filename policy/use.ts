/**
 * Which part of what its calls reserve a flow uses. A start is charged that part, and the rest is settled at the call's end. If starts were charged in full,
 * flows whose calls are short or use most of what they reserve would be settled first, and the others would fall behind for nothing. Law: what a call used is
 * charged in the end, whatever was assumed at its start.
 */

/** The part is measured over this many last calls. Fewer differ by chance, and the charges of all calls of a window would be off by as much. */
const KEPT = 256;
/**
 * Bounds of the part that is charged. `least`: a flow whose calls used little may have calls under way that use all they reserve, and until these end it is
 * ahead by what it was not charged. `most`: a part above 1 is charged, because what calls use beyond their charge becomes a debt when they end, and is forgiven
 * if nobody else waits just then. But after many tiny calls that use thousands of times what they reserve, a large one would be charged hundreds of times what
 * it reserves.
 */
const BOUNDS = { least: 1 / 4, most: 32 };
/** This many of a flow's own calls, of the size in question, weigh as much as what is assumed of unknown flows. */
const OWN = 8;
/** A flow that has had fewer calls tells nothing about others. */
const KNOWN = 16;
/** Parts of known flows are told apart in this many steps. */
const STEPS = 64;

/** Sums over a flow's last calls: the tokens that they reserved and used, and the squares of what they reserved. */
export type Use = { reserved: number; used: number; squares: number };

export const unseen = (): Use => ({ reserved: 0, used: 0, squares: 0 });

/**
 * The uses of all flows of a pool. A flow of which nothing is known is assumed to use as large a part as the one that uses most, and no more than it reserves:
 * with the mean, a tenant whose calls use next to nothing would let every newcomer have calls for a part of what they cost, until the first of these end.
 */
export class Uses {
  /** How many flows are known, by their part in steps, rounded up. */
  readonly #counts = new Uint32Array(STEPS + 1);
  #most = 0;
  #recalled = 1;

  /**
   * A call of a flow is over. `used`: all that it reserved, if nobody can tell. Each call counts by what it reserves: many small ones do not make a large one
   * forgotten.
   */
  note(use: Use, reserved: number, used: number): void {
    if (!(reserved > 0)) return;
    if (isKnown(use)) this.#count(use, -1);
    const kept = Math.exp(-reserved / (KEPT * Math.max(reserved, sizeOf(use))));
    use.reserved = use.reserved * kept + reserved;
    use.used = use.used * kept + used;
    use.squares = use.squares * kept + reserved * reserved;
    if (isKnown(use)) this.#count(use, 1);
  }

  /** The part that is charged of what a call of the flow reserves. Small calls tell little about a large one. `known`: `part`, for callers that ask often. */
  partOf(use: Use, tokens: number, known = this.part): number {
    if (use.reserved === 0) return known;
    const calls = use.reserved / Math.max(1, tokens);
    return known + ((ownPart(use) - known) * calls) / (calls + OWN);
  }

  /** The part assumed of a flow of which nothing is known. */
  get part(): number {
    return this.#most > 0 ? this.#most / STEPS : this.#recalled;
  }

  /** The part that was assumed before a restart. */
  recall(part: number): void {
    this.#recalled = part;
  }

  /** Brings back what was known of a flow before a restart. `use` must still be unseen. */
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
