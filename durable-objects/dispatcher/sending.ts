/**
 * Whether upstream can have taken a request that had no answer. workerd hides why `fetch` failed: a connection that was refused, and one that broke when all was sent,
 * are both "Network connection lost."; a host name that does not resolve, a TLS handshake that failed and an answer that is no HTTP are all "internal error; reference = …"
 * (workerd 1.20261006, tried with each). So its words are ignored. What tells is the body: it is handed over in three pieces, and workerd asks for the third only
 * when the second is written, so only on a connection that stands. An upstream that lacks the end of a JSON text cannot have acted on it.
 *
 * The pieces cost eight entries into the isolate, of the 29 of a lone job's life and the 21 of one among many. So they are left out while upstream is known to stand
 * (`Line`): then the jobs that fail to connect in the instant in which it goes down count as of unknown outcome.
 */
import { mayBeEdges, whyNeverArrived } from "../../policy/never-arrived.ts";

/** Of an option of the SDK's that it hands on to `fetch` as it is. */
export const SENDING = Symbol("sending");

/** How long an answer proves that upstream can be reached, ms. Short, as it also bounds how many calls may leave after the last one without being told apart. */
const STANDS_MS = 1_000;

/** Whether upstream can be reached, as far as the last calls of this object tell. */
export class Line {
  readonly #now: () => number;
  #provenAt = Number.NEGATIVE_INFINITY;

  constructor(now: () => number) {
    this.#now = now;
  }

  get stands(): boolean {
    // A clock that was set back proves nothing.
    const since = this.#now() - this.#provenAt;
    return since >= 0 && since < STANDS_MS;
  }

  /** Watches a call that was sent. @throws what it throws. */
  async over(call: Promise<Response>): Promise<Response> {
    try {
      const answer = await call;
      this.#provenAt = this.#now();
      return answer;
    } catch (error) {
      this.#provenAt = Number.NEGATIVE_INFINITY;
      throw error;
    }
  }
}

export class Sending {
  /** Why it is certain that upstream has not taken the request; null: it may have. */
  untaken: string | null = null;

  /** The request's body, of which it is known how far it got. */
  inPieces(text: string): ReadableStream<Uint8Array> {
    const bytes = new TextEncoder().encode(text);
    const { readable, writable } = new FixedLengthStream(bytes.length);
    this.untaken = "no connection to it stood until the request was sent";
    // How it broke is for fetch to say.
    this.#hand(writable.getWriter(), bytes).catch(() => {});
    return readable;
  }

  async #hand(writer: WritableStreamDefaultWriter, bytes: Uint8Array): Promise<void> {
    // The first is read ahead, the connection or none.
    await writer.write(bytes.subarray(0, 1));
    await writer.write(bytes.subarray(1, 2));
    this.untaken = null;
    await writer.write(bytes.subarray(2));
    await writer.close();
  }

  /** An answer has come, to whatever was sent. */
  async heard(answer: Response): Promise<Response> {
    this.untaken = null;
    const { headers, status } = answer;
    if (mayBeEdges(status, headers.get("server"))) this.untaken = whyNeverArrived(status, await answer.clone().text());
    return answer;
  }
}
