/**
 * What part of what its calls reserve a flow uses. It is charged that at a start, and the rest is settled at the call's end: were it charged all, those whose calls are short, or end sooner, would
 * have back theirs first, and the others go behind for nothing. Law: what a call used is charged in the end, whatever was thought.
 */

/** The part of the last so many calls. Fewer differ by chance: by what they are off, all calls of a window are charged off. */
const KEPT = 1_024;
/** A flow that used little could have many calls under way that use all, and be charged for few of them: never less than this part, nor more than that. */
const BOUNDS = { least: 1 / 4, most: 2 };

export class Use {
  #seen = 0;
  #reserved = 0;
  #used = 0;

  /** 1 as long as nothing is known. */
  get part(): number {
    return this.#reserved > 0 ? Math.min(BOUNDS.most, Math.max(BOUNDS.least, this.#used / this.#reserved)) : 1;
  }

  note(reserved: number, used: number): void {
    this.#seen = Math.min(KEPT, this.#seen + 1);
    const kept = 1 - 1 / this.#seen;
    this.#reserved = this.#reserved * kept + reserved / this.#seen;
    this.#used = this.#used * kept + used / this.#seen;
  }
}
