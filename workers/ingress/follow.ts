/**
 * Lets a door read a job's events as they come. The door holds a WebSocket to the job's mailbox, as a client would: the mailbox sleeps while nothing
 * happens, and everything that sockets promise (order, no gaps, deltas, resume) holds here too.
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
  /** Events up to this seq are known; a value beyond the last event counts as the last event. */
  after: number;
  deltas: boolean;
  /** Chunks come as upstream wrote them: an object, or a text (policy/verbatim.ts). */
  verbatim?: boolean;
  /** The reader waits for the job as for a plain call: while it is here, the job's caller counts as present. */
  caller?: boolean;
  /** The reader's token, whose end also ends this, as it ends a socket; null for a key. */
  grant: Grant | null;
  /** Aborted when the reader has gone. */
  signal: AbortSignal;
};

/** Characters read between two acks: the mailbox sends one window ahead and the rest from its log, because all readers share 128 MB of memory. */
const ACK_CHARACTERS = 64_000;
/** Broken connections in a row, with no event in between, before giving up. */
const FAILURES_LIMIT = 6;
const PAUSE_MS = 100;

/**
 * Yields each event once, in order, up to the last. If the job has ended and `after` is its last event, yields nothing; if `after` lies beyond that, yields
 * the last event. Reconnects by itself when the mailbox restarts.
 * @throws TokenOver when the reader's token ends; an Error if the mailbox cannot be reached for some seconds or has no such job.
 */
export async function* follow(
  env: Context["env"],
  { address, job, after, deltas, verbatim = false, caller = false, grant, signal }: Follow,
): AsyncGenerator<JobEvent> {
  let last = after;
  // Until the first event, `last` is only the reader's claim, and the mailbox knows better.
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

/** One connection. Arriving frames wait here until they are read. */
class Line {
  readonly #socket: WebSocket;
  readonly #texts: string[] = [];
  /** Read but not yet acked. */
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

  /** Ends with the connection; "ended" means that nothing more comes. @throws if the mailbox refuses the subscription. */
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

  /** The reader has dealt with an event and comes back for more. */
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
      // The other side has already closed it.
    }
    this.#wake();
  }
}
