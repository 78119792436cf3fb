/**
 * What a socket was sent and its client has not dealt with yet. A socket does not say whether anybody reads it, and what is sent is kept in the
 * object's memory until it is read: so who can say how far it is, is sent no more than this ahead. Law: beyond the limit goes one frame at most.
 */

/** Characters: some seconds of a fast stream, and a few thousand of them in an object's 128 MB. */
export const WINDOW_CHARACTERS = 256_000;

export class Window {
  /** Sizes of the frames that are out, oldest first. */
  readonly #out: number[] = [];
  #characters = 0;

  sent(characters: number): void {
    this.#out.push(characters);
    this.#characters += characters;
  }

  /** So many frames more have been dealt with. Those beyond what is known of went out before the object slept. */
  acked(frames: number): void {
    for (const characters of this.#out.splice(0, frames)) this.#characters -= characters;
  }

  get full(): boolean {
    return this.#characters >= WINDOW_CHARACTERS;
  }

  /** Whether it is worth sending again: not after every ack. */
  get roomy(): boolean {
    return this.#characters <= WINDOW_CHARACTERS / 2;
  }
}
