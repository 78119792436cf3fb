/** One WebSocket, from opening until it is lost for whatever reason. */
import type { ClientFrame, BEARER_SUBPROTOCOL_PREFIX as Prefix, SUBPROTOCOL as Protocol, ServerFrame } from "../schemas/socket.ts";
import { SluiceError } from "./errors.ts";
import type { Wire } from "./http.ts";

/** Repeated here because importing schemas/ would pull in more at run time; the types keep both the same. */
const SUBPROTOCOL: typeof Protocol = "sluice.v1";
const BEARER_SUBPROTOCOL_PREFIX: typeof Prefix = "bearer.";

export type Wish = Extract<ClientFrame, { type: "subscribe" }>;
type Ack = Extract<ClientFrame, { type: "ack" }>;

/** An open connection, as its user sees it. */
export type Line = {
  send: (wish: Omit<Wish, "type">) => void;
  ack: (ack: Omit<Ack, "type">) => void;
  /** Closes it, so that another follows. */
  lose: () => void;
  /** Aborted once the connection is lost. */
  signal: AbortSignal;
};

export type Listener = {
  opened: (line: Line) => void;
  /** `characters`: the frame's length. */
  frame: (frame: ServerFrame, line: Line, characters: number) => void;
};

/** Ready states; the WebSocket class names these constants differently in Workers. */
const OPEN = 1;
const CLOSED = 3;

const OPEN_WITHIN_MS = 15_000;
/** Proxies cut connections that are silent for a minute. A ping costs the service nothing: it is answered without waking anything. */
const PING_EVERY_MS = 20_000;
/** Only this reveals a connection that died without notice. */
const SILENT_MS = 10_000;

/** Resolves when the connection is lost, with how long it was open, in ms; null if it never was. Errors of the listener are thrown. */
export function connect(wire: Wire, path: string, token: string, signal: AbortSignal, listener: Listener): Promise<number | null> {
  return new Promise((done, fail) => {
    const socket = opened(wire, path, token);
    const gone = new AbortController();
    let openedAt: number | null = null;
    let timer = setTimeout(() => lose(), OPEN_WITHIN_MS);
    const send = (text: string) => {
      if (socket.readyState === OPEN) socket.send(text);
    };
    const lose = () => {
      if (gone.signal.aborted) return;
      clearTimeout(timer);
      signal.removeEventListener("abort", lose);
      gone.abort();
      // A close may take long on a dead connection; nobody waits for it.
      if (socket.readyState !== CLOSED) socket.close(1000);
      done(openedAt === null ? null : performance.now() - openedAt);
    };
    const guarded = (work: () => void) => {
      if (gone.signal.aborted) return;
      try {
        work();
      } catch (error) {
        fail(error);
        lose();
      }
    };
    const keepAlive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        send("ping");
        timer = setTimeout(lose, SILENT_MS);
      }, PING_EVERY_MS);
    };
    const say = (type: "subscribe" | "ack") => (frame: object) => send(JSON.stringify({ type, ...frame }));
    const line: Line = { send: say("subscribe"), ack: say("ack"), lose, signal: gone.signal };
    socket.addEventListener("open", () =>
      guarded(() => {
        openedAt = performance.now();
        keepAlive();
        listener.opened(line);
      }),
    );
    socket.addEventListener("message", ({ data }) =>
      guarded(() => {
        keepAlive();
        const text = String(data);
        if (text === "pong") return;
        const frame = parse(text);
        // Either it is not Sluice that speaks here, or it broke.
        if (frame === null) lose();
        else listener.frame(frame, line, text.length);
      }),
    );
    socket.addEventListener("error", () => {}); // a close follows
    socket.addEventListener("close", lose);
    signal.addEventListener("abort", lose, { once: true });
    if (signal.aborted) lose();
  });
}

/** @throws SluiceError if a connection cannot even be tried. */
function opened(wire: Wire, path: string, token: string): WebSocket {
  try {
    return wire.openSocket(wire.url.replace(/^http/, "ws") + path, [SUBPROTOCOL, BEARER_SUBPROTOCOL_PREFIX + token]);
  } catch (cause) {
    throw new SluiceError("No WebSocket can be opened with this URL and this token.", { cause });
  }
}

/** Null if it is not a JSON object. */
function parse(text: string): ServerFrame | null {
  try {
    const frame: unknown = JSON.parse(text);
    return typeof frame === "object" ? (frame as ServerFrame | null) : null;
  } catch {
    return null;
  }
}
