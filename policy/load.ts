/**
 * How much each of many users of one memory takes, and all together, in characters. Law: one that takes more than its share is named at once; if all together
 * take too much, the one that takes most is named.
 */

/** `drains`: characters per second that are assumed gone, for one that never reports it. `gone`: it was let go, but what it takes is still there. */
type Part = { characters: number; at: number; drains: number; gone: boolean };

export class Load {
  readonly #parts = new Map<string, Part>();
  readonly #each: number;
  readonly #all: number;
  #sum = 0;

  constructor(limits: { each: number; all: number }) {
    this.#each = limits.each;
    this.#all = limits.all;
  }

  /** What all take together. What has drained is deducted only when that matters. */
  get characters(): number {
    return this.#sum;
  }

  /** `who` takes more at `now` (ms). Returns who takes too much; null if nobody does. */
  add(who: string, characters: number, now: number, drains = 0): string | null {
    const part = this.#parts.get(who) ?? { characters: 0, at: now, drains, gone: false };
    this.#parts.set(who, part);
    part.drains = drains;
    this.#drain(part, now);
    part.characters += characters;
    this.#sum += characters;
    if (part.characters > this.#each) return who;
    if (this.#sum <= this.#all) return null;
    return this.#heaviest(now);
  }

  /** Gives some of it back. */
  take(who: string, characters: number): void {
    const part = this.#parts.get(who);
    if (!part) return;
    const given = Math.min(characters, part.characters);
    part.characters -= given;
    this.#sum -= given;
    if (part.characters <= 0) this.#parts.delete(who);
  }

  /** Lets one go: what it takes counts until it is given back. */
  letGo(who: string): void {
    const part = this.#parts.get(who);
    if (part) part.gone = true;
  }

  /** Gives all back. */
  drop(who: string): void {
    this.take(who, Number.POSITIVE_INFINITY);
  }

  #heaviest(now: number): string | null {
    let heaviest: string | null = null;
    let most = 0;
    for (const [who, part] of this.#parts) {
      this.#drain(part, now);
      if (part.gone || part.characters <= most) continue;
      heaviest = who;
      most = part.characters;
    }
    return this.#sum > this.#all ? heaviest : null;
  }

  #drain(part: Part, now: number): void {
    const drained = Math.min(part.characters, (Math.max(0, now - part.at) * part.drains) / 1_000);
    part.characters -= drained;
    this.#sum -= drained;
    part.at = now;
  }
}
