/**
 * What is said over sockets beside events, and what waits to be answered. Law: neither takes more of the object's memory than is meant for it, of one socket
 * and of all together, whoever reads nothing and whoever hangs: the one that takes most is let go.
 */
import { Load } from "../../policy/load.ts";
import { CLOSE, type ServerFrame } from "../../schemas/socket.ts";
import { sendText } from "./frames.ts";

/** Characters of answers of which it is not known that they were read. An ack says so of all before it. */
const ANSWERS = { each: 4_000_000, all: 24_000_000 };
/** Of a client that never acks so many a second are taken for read. */
const READ_PER_SECOND = 20_000;

/** Characters of frames that wait for other mailboxes: of each socket two of the largest. */
const WAITING = { each: 4_000_000, all: 24_000_000 };

type Ways = {
  /** ms since the epoch. */
  now: () => number;
  /** Whether a socket's client says how far it is; null of one that is gone. */
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

  /** What it was answered has been read, or never will be. */
  read(socketId: string): void {
    this.#answers.drop(socketId);
  }

  /** A frame of so many characters, which may have to wait. Answers whether it was served: not that of a socket that is let go for it. */
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
