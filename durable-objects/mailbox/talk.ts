/**
 * Frames sent over sockets other than events, and client frames that wait to be served. Law: both have a bound in memory, per socket and in total, even if
 * clients read nothing or mailboxes hang: a socket over its own bound is let go, and over the total, the one that takes most.
 */
import { Load } from "../../policy/load.ts";
import { CLOSE, type ServerFrame } from "../../schemas/socket.ts";
import { sendText } from "./frames.ts";

/** Characters of answers that are not known to have been read. An ack confirms all answers before it. */
const ANSWERS = { each: 4_000_000, all: 24_000_000 };
/** A client that never acks is assumed to read this many characters a second. */
const READ_PER_SECOND = 20_000;

/** Characters of frames that wait for other mailboxes; each socket may have two of the largest. */
const WAITING = { each: 4_000_000, all: 24_000_000 };

type Ways = {
  /** ms since the epoch. */
  now: () => number;
  /** Whether a socket's client acks what it has dealt with; null if the socket is gone. */
  acks: (socketId: string) => boolean | null;
  /** Closes a socket. */
  letGo: (socketId: string, code: number, reason: string) => void;
};

export class Talk {
  readonly #ways: Ways;
  readonly #answers = new Load(ANSWERS);
  readonly #waiting = new Load(WAITING);

  constructor(ways: Ways) {
    this.#ways = ways;
  }

  answer(socket: WebSocket, socketId: string, frame: ServerFrame): void {
    const acks = this.#ways.acks(socketId);
    if (acks === null) return;
    const text = JSON.stringify(frame);
    sendText(socket, text);
    const heavy = this.#answers.add(socketId, text.length, this.#ways.now(), acks ? 0 : READ_PER_SECOND);
    if (heavy) this.#letGo(this.#answers, heavy, CLOSE.tooSlow, "too slow");
  }

  /** The socket's answers have been read, or never will be. */
  read(socketId: string): void {
    this.#answers.drop(socketId);
  }

  /** Serves a frame of this many characters, which may have to wait. Returns false, without serving it, if its socket takes too much and is let go. */
  async serve(socketId: string, characters: number, frame: () => Promise<void>): Promise<boolean> {
    const heavy = this.#waiting.add(socketId, characters, this.#ways.now());
    try {
      if (heavy === socketId) this.#waiting.letGo(heavy);
      else {
        if (heavy) this.#letGo(this.#waiting, heavy, CLOSE.tooMany, "too_many_frames");
        await frame();
      }
    } finally {
      this.#waiting.take(socketId, characters);
    }
    return heavy !== socketId;
  }

  #letGo(load: Load, socketId: string, code: number, reason: string): void {
    load.letGo(socketId);
    this.#ways.letGo(socketId, code, reason);
  }
}
