/** A WebSocket client that records what it is sent in a chronicle. */
import { onTestFinished } from "vitest";
import type { JobEvent } from "../../../schemas/event.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Place } from "./client.ts";

type Frame = { type: string; error?: { code: string; message: string } } & JobEvent;
export type Wish = { channel?: string; jobs?: string[]; after?: Record<string, number>; deltas?: boolean };
/** `near`: the socket lives in the channel's own mailbox. */
type Options = { key?: string; near?: string };

export class Follower {
  readonly socket: WebSocket;
  readonly chronicle: Chronicle;
  /** The code that the socket closed with. */
  readonly closed: Promise<number>;
  readonly errors: string[] = [];
  /** Events of this connection. */
  events = 0;
  readonly #last = new Map<string, number>();
  #subscribed: (() => void)[] = [];

  private constructor(socket: WebSocket, chronicle: Chronicle) {
    this.socket = socket;
    this.chronicle = chronicle;
    this.closed = new Promise((done) => {
      socket.onclose = ({ code }) => done(code);
    });
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(String(data)) as Frame);
    onTestFinished(() => socket.close());
  }

  static async connect(place: Place, chronicle: Chronicle, { key = "sk-dev-alice", near }: Options = {}): Promise<Follower> {
    const path = near === undefined ? "/v1/subscribe" : `/v1/subscribe?channel=${encodeURIComponent(near)}`;
    const socket = new WebSocket(place.url.replace("http", "ws") + path, ["sluice.v1", `bearer.${key}`]);
    const follower = new Follower(socket, chronicle);
    await new Promise<void>((done, fail) => {
      socket.onopen = () => done();
      socket.onerror = () => fail(new Error("The WebSocket does not open."));
    });
    return follower;
  }

  /** Resolves when the service has confirmed the subscription. */
  subscribe(wish: Wish): Promise<void> {
    this.socket.send(JSON.stringify({ type: "subscribe", ...wish }));
    return new Promise((done) => this.#subscribed.push(done));
  }

  #receive(frame: Frame): void {
    if (frame.type === "subscribed") this.#subscribed.shift()?.();
    if (frame.type === "error") this.errors.push(`${frame.error?.code}: ${frame.error?.message}`);
    if (frame.type !== "event") return;
    this.events++;
    const { job, seq, event, data } = frame;
    const last = this.#last.get(job) ?? 0;
    if (seq < last) this.chronicle.breaches.push(`${job}: ${seq} came after ${last} on one connection`);
    this.#last.set(job, seq);
    this.chronicle.add({ job, seq, event, data });
  }
}
