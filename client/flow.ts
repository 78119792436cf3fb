/**
 * Tells the service how far the reader has come, so that it sends at most a window ahead: what a socket has delivered and nobody reads would otherwise pile up,
 * there or here.
 */
import type { Line } from "./socket.ts";

/** Characters between two acks: a quarter of the service's window. */
const ACK_CHARACTERS = 64_000;

/** What came in one or more frames of a connection. */
export type Arrived = { frames: number; characters: number; flow: Flow };

/** Counts for one connection. */
export class Flow {
  readonly #line: Line;
  #frames = 0;
  #characters = 0;

  constructor(line: Line) {
    this.#line = line;
    // From now on, the service counts.
    line.ack({ frames: 0 });
  }

  /** The reader is done with these. */
  dealt({ characters, frames }: { characters: number; frames: number }): void {
    this.#frames += frames;
    this.#characters += characters;
    if (this.#characters < ACK_CHARACTERS) return;
    this.#line.ack({ frames: this.#frames });
    this.#frames = 0;
    this.#characters = 0;
  }
}
