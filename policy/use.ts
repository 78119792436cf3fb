/**
 * What part of what its calls reserve a flow uses. A start is charged that, and the rest is settled at the call's end: were it charged all, those whose calls are short or use
 * much of it would have theirs settled first, and the others go behind for nothing. Law: what a call used is charged in the end, whatever was thought at its start.
 */

/** The part of the last so many calls. Fewer differ by chance: by what they are off, all calls of a window are charged off. */
const KEPT = 256;
/** A flow whose calls used little may have calls under way that use all of it: until these end it is ahead by what it was not charged. Never less than this part, nor more than that. */
const BOUNDS = { least: 1 / 4, most: 4 };
/** So many calls of its own count as much as what those of the whole pool use; and so many of the pool's as much as what they reserve. */
const OWN = 16;

export class Use {
  #seen = 0;
  #reserved = 0;
  #used = 0;

  note(reserved: number, used: number): void {
    this.#seen++;
    const kept = Math.min(KEPT, this.#seen);
    this.#reserved += (reserved - this.#reserved) / kept;
    this.#used += (used - this.#used) / kept;
  }

  /** `among`: that of the pool. */
  part(among?: Use): number {
    const known = among ? among.part() : 1;
    if (this.#reserved === 0) return known;
    const own = Math.min(BOUNDS.most, Math.max(BOUNDS.least, this.#used / this.#reserved));
    return known + ((own - known) * this.#seen) / (this.#seen + OWN);
  }
}
