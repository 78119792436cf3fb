/**
 * What a socket was sent that its client has not dealt with yet. A socket does not tell whether anybody reads it, and what is sent stays in the object's
 * memory until it is read. So a client that acks is sent no more than this ahead. Law: the limit is exceeded by one frame at most.
 */

/** Characters: some seconds of a fast stream. 500 full windows would fill an object's 128 MB. */
export const WINDOW_CHARACTERS = 256_000;

export class Window {
  /** Sizes of the frames that are out, oldest first. */
  readonly #out: number[] = [];
  #characters = 0;

  sent(characters: number): void {
    this.#out.push(characters);
    this.#characters += characters;
  }

  /** The client has dealt with this many more frames. Any beyond those known here were sent before the object slept. */
  acked(frames: number): void {
    for (const characters of this.#out.splice(0, frames)) this.#characters -= characters;
  }

  get full(): boolean {
    return this.#characters >= WINDOW_CHARACTERS;
  }

  /** Whether to send again after the window was full: not after every ack. */
  get roomy(): boolean {
    return this.#characters <= WINDOW_CHARACTERS / 2;
  }
}
