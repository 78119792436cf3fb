/** How much a client may send on one socket. */

/** Frames at once, and per second after that: far more than a client needs, and little for the object. */
const BURST = 2_000;
const PER_SECOND = 200;
/** This many meaningless frames close the socket. */
const STRIKES = 32;

export class Manners {
  #frames = BURST;
  #at = Number.NEGATIVE_INFINITY;
  #strikes = 0;

  /** Counts a frame that came at `now` (ms). False: too many have come. */
  mayCome(now: number): boolean {
    this.#frames = Math.min(BURST, this.#frames + (Math.max(0, now - this.#at) * PER_SECOND) / 1_000);
    this.#at = now;
    this.#frames--;
    return this.#frames >= 0;
  }

  /** Counts a meaningless frame. False: it was one too many. */
  mayErr(): boolean {
    return ++this.#strikes < STRIKES;
  }
}
