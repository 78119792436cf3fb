/** A channel followed over a WebSocket. If the connection drops, it is opened again and goes on where it stood. */
import type { JobEvent } from "../../../schemas/event.ts";
import type { ServerFrame } from "../../../schemas/socket.ts";
import { BEARER_SUBPROTOCOL_PREFIX, SUBPROTOCOL } from "../../../schemas/socket.ts";

export type Place = { url: string; key: string; channel: string };

export type Listener = {
  event: (event: JobEvent) => void;
  /** Jobs that have not ended, with the last seq seen of each. */
  standing: () => Record<string, number>;
  failed: (error: Error) => void;
};

const AGAIN_MS = 250;
/** How long a service may be away, as at a restart. */
const GIVE_UP_MS = 30_000;

export class Follower {
  readonly #place: Place;
  readonly #listener: Listener;
  #socket: WebSocket | null = null;
  #ended = false;
  #lostAt: number | null = null;
  #watched: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #subscribed: () => void = () => {};
  /** Connections that were lost. */
  drops = 0;

  constructor(place: Place, listener: Listener) {
    this.#place = place;
    this.#listener = listener;
  }

  /** Resolves when the service has confirmed: whatever is submitted from then on is told. */
  open(): Promise<void> {
    return new Promise((done) => {
      this.#subscribed = done;
      this.#connect();
    });
  }

  /** From now on the text of this job comes as it is written. */
  watch(job: string): void {
    this.#watched = job;
    // A connection under way will ask for it when it opens.
    if (this.#socket?.readyState === WebSocket.OPEN) this.#send({ jobs: [job], deltas: true, after: {} });
  }

  close(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #connect(): void {
    const { url, key, channel } = this.#place;
    // Near the channel: its mailbox holds the socket, which saves every event a hop.
    const address = `${url.replace(/^http/, "ws")}/v1/subscribe?channel=${encodeURIComponent(channel)}`;
    const socket = new WebSocket(address, [SUBPROTOCOL, BEARER_SUBPROTOCOL_PREFIX + key]);
    this.#socket = socket;
    socket.onopen = () => this.#subscribe();
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(String(data)) as ServerFrame);
    socket.onerror = () => {}; // a close follows
    socket.onclose = () => this.#lost();
  }

  #subscribe(): void {
    const after = this.#listener.standing();
    // Before the channel: the end of a job must not overtake its text.
    const watched = this.#watched;
    if (watched !== null && watched in after) {
      this.#send({ jobs: [watched], deltas: true, after: { [watched]: after[watched] ?? 0 } });
      delete after[watched];
    }
    this.#send({ channel: this.#place.channel, after });
  }

  #send(wish: { jobs?: string[]; channel?: string; after: Record<string, number>; deltas?: boolean }): void {
    this.#socket?.send(JSON.stringify({ type: "subscribe", ...wish }));
  }

  #receive(frame: ServerFrame): void {
    if (frame.type === "event") this.#listener.event(frame);
    else if (frame.type === "subscribed" && frame.channel === this.#place.channel) {
      this.#lostAt = null;
      this.#subscribed();
    } else if (frame.type === "error") {
      if (frame.error.code === "unavailable") this.#socket?.close();
      else this.#listener.failed(new Error(`The service sent "${frame.error.code}": ${frame.error.message}`));
    }
  }

  #lost(): void {
    if (this.#ended) return;
    if (this.#lostAt === null) this.drops++;
    this.#lostAt ??= Date.now();
    if (Date.now() - this.#lostAt < GIVE_UP_MS) this.#timer = setTimeout(() => this.#connect(), AGAIN_MS);
    else this.#listener.failed(new Error("The connection is lost and does not come back."));
  }
}
