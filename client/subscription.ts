/** Events over as many connections as it takes. What is asked for and what was seen is the plan's; this keeps a connection, and a buffer. */
import type { ServerFrame } from "../schemas/socket.ts";
import { type Backoff, backoffMs, pause } from "./backoff.ts";
import { type Entry, EventBuffer } from "./buffer.ts";
import { ConnectionError, errorFrom, SluiceError, TimeoutError } from "./errors.ts";
import type { Event } from "./events.ts";
import { Flow } from "./flow.ts";
import { callJson, timed, tokenOf, type Wire } from "./http.ts";
import { connect, type Line } from "./socket.ts";

/** What a subscription is about; it remembers what it has seen, over all connections. */
export type Plan = {
  /** Of the WebSocket. */
  path: string;
  /** Of a consumer: whose cursor is acked. */
  channel?: string;
  /** A connection stands. `isRead`: whether the reader is done with all that came. */
  opened: (line: Line, isRead: () => boolean) => void;
  /** Resolves when everything from now on will be told; called for each "subscribed". */
  subscribed: (line: Line) => Promise<boolean>;
  /** The event if it is new. */
  take: (event: Extract<ServerFrame, { type: "event" }>, line: Line) => Event | null;
  /** The service says that it was known of these jobs that they have ended. */
  ended?: (jobs: string[], line: Line) => void;
  /** Of a consumer: whether everything before the last event was passed on, so that its cursor may be acked. */
  whole?: () => boolean;
  /** Whether that was the last. */
  over: () => boolean;
};

export type SubscriptionOptions = {
  signal?: AbortSignal;
  /** How long the service may be away before the iterator throws a ConnectionError, ms; without end if left out. */
  patienceMs?: number;
  /** Told when the connection stands (again), and when it is lost. */
  onConnection?: (state: "open" | "lost") => void;
};

/** Events between two acks of a consumer that is never done with all that came: each is a write for the service. */
const ACK_EVENTS = 100;

const RECONNECT: Backoff = { baseMs: 250, capMs: 15_000 };
/** Complaints that another connection mends; all others would be heard again over each. */
const PASSING_CODES = new Set(["unavailable", "too_many_frames"]);
/** A connection that stood this long starts the backoff over. */
const STEADY_MS = 5_000;

/**
 * An iterator of events. It connects as soon as it is made; to end it, break out of the loop, call `return()`, or abort its signal (which makes
 * it throw the signal's reason).
 */
export class Subscription implements AsyncIterableIterator<Event, void, undefined> {
  /** Resolves once the service has confirmed: whatever happens from then on is told. Rejects if it comes to nothing. */
  readonly ready: Promise<void>;
  readonly #buffer = new EventBuffer();
  readonly #ending = new AbortController();
  readonly #wire: Wire;
  readonly #plan: Plan;
  readonly #options: SubscriptionOptions;
  readonly #ran: Promise<void>;
  readonly #isReady = Promise.withResolvers<void>();
  #failure: unknown = null;
  /** Whether the service has confirmed what was asked for over this connection, and told events: one that merely opens may be good for nothing. */
  #confirmed = false;
  #told = false;
  /** The connection was let go, as too much is unread: the next waits until nothing is. */
  #full = false;
  /** The connection that stands, and its flow. */
  #line: Line | null = null;
  #flow: Flow | null = null;
  /** What the reader has and is not done with: one, but for who asks for several at once. */
  readonly #handed: Entry[] = [];
  /** Of a consumer: everything up to here is done with; how many events that are since the last ack. */
  #cursor = 0;
  #unacked = 0;

  constructor(wire: Wire, plan: Plan, options: SubscriptionOptions = {}) {
    this.#wire = wire;
    this.#plan = plan;
    this.#options = options;
    this.ready = this.#isReady.promise;
    this.ready.catch(() => {}); // not everybody waits for it
    this.#ran = this.#run();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Event, void>> {
    this.#dealt();
    const entry = await this.#buffer.take();
    if (entry === null) return { done: true, value: undefined };
    this.#handed.push(entry);
    return { done: false, value: entry.event };
  }

  /** Ends it; resolves when nothing of it is left. */
  async return(): Promise<IteratorResult<Event, void>> {
    this.#ackCursor();
    this.#buffer.finish();
    this.#ending.abort(new ConnectionError("The subscription has been closed."));
    await this.#ran;
    return { done: true, value: undefined };
  }

  /** Who asks for the next event is done with those before it. */
  #dealt(): void {
    for (const entry of this.#handed.splice(0)) {
      entry.flow.dealt(entry);
      if (entry.cursor === null) continue;
      this.#cursor = Math.max(this.#cursor, entry.cursor);
      this.#unacked++;
    }
    if (this.#buffer.empty || this.#unacked >= ACK_EVENTS) this.#ackCursor();
  }

  /** Over whichever connection stands; without one, over the next. */
  #ackCursor(): void {
    const { channel } = this.#plan;
    if (channel === undefined || this.#unacked === 0 || this.#line?.signal.aborted !== false) return;
    this.#line.ack({ channel, cursor: this.#cursor });
    this.#unacked = 0;
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    const stop = () => {
      this.#ackCursor();
      this.#buffer.abort(signal!.reason);
      this.#ending.abort(signal!.reason);
    };
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      await this.#keepConnected(this.#ending.signal);
      this.#buffer.finish();
    } catch (error) {
      this.#buffer.fail(error);
      this.#isReady.reject(error);
    } finally {
      signal?.removeEventListener("abort", stop);
      this.#ending.abort();
    }
  }

  async #keepConnected(signal: AbortSignal): Promise<void> {
    const { patienceMs = Number.POSITIVE_INFINITY } = this.#options;
    let tries = 0;
    let awaySince = performance.now();
    while (true) {
      signal.throwIfAborted();
      const stoodMs = await this.#connectOnce(signal);
      if (this.#failure !== null) throw this.#failure;
      if (this.#plan.over()) return;
      if (this.#confirmed || this.#told) awaySince = performance.now();
      if (this.#full) {
        await this.#buffer.drained();
        this.#full = false;
        awaySince = performance.now();
        continue;
      }
      tries = stoodMs !== null && stoodMs >= STEADY_MS ? 1 : tries + 1;
      if (stoodMs === null) await this.#askWhy(signal);
      if (performance.now() - awaySince >= patienceMs) throw new ConnectionError("The connection is lost and does not come back.");
      await pause(backoffMs(RECONNECT, tries, this.#wire.random()), signal);
    }
  }

  /** Null if it did not come to a connection. @throws what makes another try useless. */
  async #connectOnce(signal: AbortSignal): Promise<number | null> {
    this.#confirmed = false;
    this.#told = false;
    let token: string;
    try {
      token = await timed(this.#wire.timeoutMs, signal, () => tokenOf(this.#wire));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ConnectionError || error instanceof TimeoutError) return null;
      throw error;
    }
    const stoodMs = await connect(this.#wire, this.#plan.path, token, signal, {
      opened: (line) => {
        this.#options.onConnection?.("open");
        // Before the plan asks for anything: the answer may be longer than a window.
        this.#flow = new Flow(line);
        this.#plan.opened(line, () => this.#buffer.empty && this.#handed.length === 0);
      },
      frame: (frame, line, characters) => this.#receive(frame, line, characters),
    });
    if (stoodMs !== null && !signal.aborted && !this.#plan.over()) this.#options.onConnection?.("lost");
    return stoodMs;
  }

  #receive(frame: ServerFrame, line: Line, characters: number): void {
    if (frame.type === "subscribed") {
      // What was acked last may have been lost with the connection.
      const isBehind = frame.channel === this.#plan.channel && (frame.cursor ?? 0) < this.#cursor;
      if (isBehind) this.#unacked ||= 1;
      void this.#confirm(line);
    } else if (frame.type === "error") {
      if (!PASSING_CODES.has(frame.error.code)) throw errorFrom(frame.error);
      // Confirmed first, as a frame, and then not to be had.
      this.#confirmed = false;
      line.lose();
    } else if (frame.type === "ended") {
      this.#plan.ended?.(frame.jobs, line);
      if (this.#plan.over()) line.lose();
    } else if (frame.type === "event") {
      this.#told = true;
      const event = this.#plan.take(frame, line);
      const arrived = { frames: 1, characters, flow: this.#flow! };
      if (event === null) arrived.flow.dealt(arrived);
      else this.#buffer.push({ ...arrived, event, cursor: this.#plan.whole?.() === false ? null : (frame.cursor ?? null) });
      this.#full ||= this.#buffer.full;
      if (this.#plan.over() || this.#full) line.lose();
    }
  }

  async #confirm(line: Line): Promise<void> {
    try {
      if (await this.#plan.subscribed(line)) {
        this.#confirmed = !line.signal.aborted;
        this.#isReady.resolve();
      }
      this.#line = line;
      this.#ackCursor();
    } catch (error) {
      // A connection that is lost meanwhile aborts what the plan asked for.
      if (line.signal.aborted) return;
      if (!isPassing(error)) this.#failure = error;
      line.lose();
    }
  }

  /**
   * A WebSocket that does not open does not say why. The same door, asked by plain HTTP, does: 426 is its answer to who may come in. Any other refusal
   * would be heard again, however often it is tried.
   */
  async #askWhy(signal: AbortSignal): Promise<void> {
    const door = { ...this.#wire, retries: 0 };
    try {
      await callJson(door, { method: "GET", path: this.#plan.path, repeatable: false, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isOpen(error) && !isPassing(error)) throw error;
    }
  }
}

/** Whether a door says that it opens, to who comes as a WebSocket does. */
function isOpen(error: unknown): boolean {
  return error instanceof SluiceError && error.status === 426;
}

/** Whether a later try may go well. */
function isPassing(error: unknown): boolean {
  return error instanceof SluiceError && (error.status === null || error.status >= 500 || error.status === 408 || error.status === 429);
}
