/**
 * Whether upstream can have taken a request that got no answer. workerd hides why `fetch` failed: a refused connection, and one that broke after everything
 * was sent, are both "Network connection lost."; a host name that does not resolve, a failed TLS handshake and an answer that is not HTTP are all "internal
 * error; reference = …" (workerd 1.20261006, tried with each). So its messages are ignored. What tells is the body: it is handed over in three pieces, and
 * workerd asks for the third only once the second is written, which takes a connection. An upstream that lacks the end of a JSON text cannot have acted on it.
 *
 * The pieces cost eight entries into the isolate, of the 29 in a lone job's life and the 21 of one among many. So the body goes whole while upstream is known
 * to be reachable (`Line`). The price: jobs that fail to connect at the moment when it goes down count as having an unknown outcome.
 *
 * For the same reason a call that is handed over in pieces leaves only with the third. In a burst of 400 calls on a busy machine up to eight seconds passed
 * between `fetch` and that moment, and then all of them left at once.
 */
import { mayBeEdges, whyNeverArrived } from "../../policy/never-arrived.ts";
import type { Leave } from "./leave.ts";

/** Key of a request option that the SDK passes to `fetch` untouched. */
export const SENDING = Symbol("sending");

/** How long an answer proves that upstream can be reached, ms. Short, because it also bounds how many calls may fail to connect unrecognised. */
const STANDS_MS = 1_000;

/** Whether upstream can be reached, judging by the last calls of this object. */
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

  /** Watches a call that was sent. @throws what the call throws. */
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

/** For a call that may leave at any time. */
export const AT_ONCE: Leave = { isPressed: () => false, now: async () => true };

export class Sending {
  /** Why it is certain that upstream has not taken the request; null: it may have. */
  untaken: string | null = null;
  readonly #leave: Leave;

  constructor(leave: Leave) {
    this.#leave = leave;
  }

  get isPressed(): boolean {
    return this.#leave.isPressed();
  }

  /** The request's body is about to be handed over as one. @throws if the call does not leave. */
  async whole(): Promise<void> {
    if (!(await this.#leave.now())) throw new Error("The call does not leave.");
  }

  /** The request's body as a stream that shows how much of it was taken. */
  inPieces(text: string): ReadableStream<Uint8Array> {
    const bytes = new TextEncoder().encode(text);
    const { readable, writable } = new FixedLengthStream(bytes.length);
    this.untaken = "there was no working connection to send the request over";
    // `fetch` reports how it broke.
    this.#hand(writable.getWriter(), bytes).catch(() => {});
    return readable;
  }

  async #hand(writer: WritableStreamDefaultWriter, bytes: Uint8Array): Promise<void> {
    // The first piece is read ahead, with or without a connection.
    await writer.write(bytes.subarray(0, 1));
    await writer.write(bytes.subarray(1, 2));
    // A call that does not leave is broken off.
    if (!(await this.#leave.now())) return;
    this.untaken = null;
    await writer.write(bytes.subarray(2));
    await writer.close();
  }

  /** An answer has come: the request was taken, unless it is Cloudflare's answer that it never arrived. */
  async heard(answer: Response): Promise<Response> {
    this.untaken = null;
    const { headers, status } = answer;
    if (mayBeEdges(status, headers.get("server"))) this.untaken = whyNeverArrived(status, await answer.clone().text());
    return answer;
  }
}
