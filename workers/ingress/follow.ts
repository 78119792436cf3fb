/**
 * A job's events, read by a door as they come. The door holds a WebSocket to the job's mailbox, as a client would: while nothing happens the
 * mailbox sleeps, and all that sockets promise (order, no gap, deltas, resume) holds here too.
 */
import { type JobName, parseJobId } from "../../platform/ids.ts";
import { fetchMailbox } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { MailboxAddress } from "../../schemas/rpc.ts";
import { CALLER_HEADER, CLOSE, type ServerFrame, VERBATIM_HEADER } from "../../schemas/socket.ts";
import type { Grant } from "../../schemas/token.ts";
import type { Context } from "./context.ts";
import { sayGrant, TokenOver } from "./passes.ts";

export type Follow = {
  address: MailboxAddress;
  job: string;
  /** Events up to this seq are known; one beyond all that there is counts as the last that there is. */
  after: number;
  deltas: boolean;
  /** Each chunk comes as upstream wrote it: an object, or a text (policy/verbatim.ts). */
  verbatim?: boolean;
  /** The reader waits for the job as for a plain call: while it is there, the job's caller is. */
  caller?: boolean;
  /** Of the reader's token, which ends the following as it ends a socket; null for a key. */
  grant: Grant | null;
  /** The reader has gone. */
  signal: AbortSignal;
};

/** Characters that are read between two acks: the mailbox sends a window ahead and the rest from its log, for memory is 128 MB for all readers. */
const ACK_CHARACTERS = 64_000;
/** Connections that broke one after another without an event between them. */
const FAILURES_LIMIT = 6;
const PAUSE_MS = 100;

/**
 * Yields each event once, in order, to the last; nothing of a job whose last is known, and the last to who claims to know more than there is. Connects again
 * by itself where the mailbox restarts.
 * @throws TokenOver when the reader's token is; an Error if the mailbox cannot be reached for some seconds, or has no such job.
 */
export async function* follow(
  env: Context["env"],
  { address, job, after, deltas, verbatim = false, caller = false, grant, signal }: Follow,
): AsyncGenerator<JobEvent> {
  let last = after;
  // Until an event has come, that is what the reader says: the mailbox knows better.
  let isClaim = true;
  for (let failures = 0; !signal.aborted; failures++) {
    if (failures > FAILURES_LIMIT) throw new Error("The mailbox cannot be reached.");
    if (failures > 0) await new Promise((done) => setTimeout(done, PAUSE_MS * 2 ** failures * (0.5 + Math.random() / 2)));
    const line = await open(env, address, { call: caller ? parseJobId(address.tenant, job) : null, grant, signal, verbatim });
    if (!line) continue;
    line.send({ type: "ack", frames: 0 });
    line.send({ type: "subscribe", jobs: [job], after: { [job]: last }, deltas });
    for await (const event of line.events()) {
      failures = -1;
      if (event === "ended") return;
      if (event.seq <= last && !isClaim) continue;
      isClaim = false;
      last = event.seq;
      yield event;
      if (isEnd(event.event)) return;
    }
  }
}

async function open(
  env: Context["env"],
  address: MailboxAddress,
  { call, grant, signal, verbatim }: { call: JobName | null; grant: Grant | null; signal: AbortSignal; verbatim: boolean },
): Promise<Line | null> {
  const headers = new Headers({ upgrade: "websocket", ...(verbatim && { [VERBATIM_HEADER]: "1" }) });
  if (call) headers.set(CALLER_HEADER, String(call.number));
  if (grant) sayGrant(headers, grant);
  const answer = await fetchMailbox(env, address, new Request("https://mailbox/", { headers })).catch(() => null);
  if (answer?.status === 401) throw new TokenOver("revoked");
  if (!answer?.webSocket) return null;
  answer.webSocket.accept();
  return new Line(answer.webSocket, signal);
}

/** One connection. What arrives waits here until it is read. */
class Line {
  readonly #socket: WebSocket;
  readonly #texts: string[] = [];
  /** Read and not acked. */
  #frames = 0;
  #characters = 0;
  #closed = false;
  #over: TokenOver | null = null;
  #wake = () => {};

  constructor(socket: WebSocket, signal: AbortSignal) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#take(String(data)));
    socket.addEventListener("close", ({ code }) => {
      if (code === CLOSE.tokenExpired) this.#over = new TokenOver("expired");
      if (code === CLOSE.tokenRevoked) this.#over = new TokenOver("revoked");
      this.#end();
    });
    socket.addEventListener("error", () => this.#end());
    if (signal.aborted) this.#end();
    else signal.addEventListener("abort", () => this.#end(), { once: true });
  }

  send(frame: object): void {
    if (!this.#closed) this.#socket.send(JSON.stringify(frame));
  }

  /** Ends with the connection; "ended" says that nothing more comes. @throws if the mailbox refuses the subscription. */
  async *events(): AsyncGenerator<JobEvent | "ended"> {
    try {
      for (;;) {
        while (this.#texts.length === 0 && !this.#closed) {
          await new Promise<void>((wake) => {
            this.#wake = wake;
          });
        }
        const text = this.#texts.shift();
        if (text === undefined && this.#over) throw this.#over;
        if (text === undefined) return;
        const frame = JSON.parse(text) as ServerFrame;
        if (frame.type === "error" && frame.error.code !== "unavailable") throw new Error(frame.error.message);
        if (frame.type === "error") return;
        if (frame.type === "ended") yield frame.type;
        if (frame.type !== "event") continue;
        yield frame;
        this.#dealt(text.length);
      }
    } finally {
      this.#end();
    }
  }

  #take(text: string): void {
    if (this.#closed) return;
    this.#texts.push(text);
    this.#wake();
  }

  /** The reader came back for more. */
  #dealt(characters: number): void {
    this.#frames++;
    this.#characters += characters;
    if (this.#characters < ACK_CHARACTERS) return;
    this.send({ type: "ack", frames: this.#frames });
    this.#frames = 0;
    this.#characters = 0;
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#socket.close(1000, "done");
    } catch {
      // Closed from there already.
    }
    this.#wake();
  }
}
