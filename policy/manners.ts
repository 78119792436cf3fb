/** How much a client may send on one socket. */

/** Frames at once, and a second: far beyond what a client has to say, and little for the object. */
const BURST = 2_000;
const PER_SECOND = 200;
/** Frames that mean nothing, until the socket is given up. */
const STRIKES = 32;

export class Manners {
  #frames = BURST;
  #at = Number.NEGATIVE_INFINITY;
  #strikes = 0;

  /** A frame came (ms). False: too many do. */
  mayCome(now: number): boolean {
    this.#frames = Math.min(BURST, this.#frames + (Math.max(0, now - this.#at) * PER_SECOND) / 1_000);
    this.#at = now;
    this.#frames--;
    return this.#frames >= 0;
  }

  /** It meant nothing. False: enough is enough. */
  mayErr(): boolean {
    return ++this.#strikes < STRIKES;
  }
}
