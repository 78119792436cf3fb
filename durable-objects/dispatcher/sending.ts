/**
 * Whether upstream can have taken a request that had no answer. workerd hides why `fetch` failed: a connection that was refused, and one that broke when all was sent,
 * are both "Network connection lost."; a host name that does not resolve, a TLS handshake that failed and an answer that is no HTTP are all "internal error; reference = …"
 * (workerd 1.20261006, tried with each). So its words are not looked at. What tells is the body: it is handed over in three pieces, of which workerd asks for the
 * third only when the second is written, and so when the connection stands. Who has not the end of a JSON text cannot have acted on it. It costs 0.2 ms of a call.
 */
import { mayBeEdges, whyNeverArrived } from "../../policy/never-arrived.ts";

/** Of an option of the SDK's that it hands on to `fetch` as it is. */
export const SENDING = Symbol("sending");

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
