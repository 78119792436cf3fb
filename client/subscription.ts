/** Events over as many connections as it takes. The plan decides what to ask for and what was seen; this keeps a connection and a buffer. */
import type { ServerFrame } from "../schemas/socket.ts";
import { type Backoff, backoffMs, pause } from "./backoff.ts";
import { type Entry, EventBuffer } from "./buffer.ts";
import { ConnectionError, errorFrom, SluiceError, TimeoutError } from "./errors.ts";
import type { Event } from "./events.ts";
import { Flow } from "./flow.ts";
import { callJson, timed, tokenOf, type Wire } from "./http.ts";
import { connect, type Line } from "./socket.ts";

/** What a subscription is about; it remembers what it has seen, across all connections. */
export type Plan = {
  /** The WebSocket's path. */
  path: string;
  /** For a consumer: the channel whose cursor is acked. */
  channel?: string;
  /** A connection is open. `isRead`: whether the reader has dealt with everything that came. */
  opened: (line: Line, isRead: () => boolean) => void;
  /** Called for each "subscribed"; resolves to true once everything from now on will be sent. */
  subscribed: (line: Line) => Promise<boolean>;
  /** The event, if it is new. */
  take: (event: Extract<ServerFrame, { type: "event" }>, line: Line) => Event | null;
  /** The service says that these jobs have ended, and that their ends are known. */
  ended?: (jobs: string[], line: Line) => void;
  /** For a consumer: whether everything before the last event was passed on, so that its cursor may be acked. */
  whole?: () => boolean;
  /** Whether that was the last event. */
  over: () => boolean;
};

export type SubscriptionOptions = {
  signal?: AbortSignal;
  /** How long the service may be away before the iterator throws a ConnectionError, ms; no limit if left out. */
  patienceMs?: number;
  /** Called when the connection is open (again), and when it is lost. */
  onConnection?: (state: "open" | "lost") => void;
};

/** Events between two acks of a consumer that never catches up: each ack is a write for the service. */
const ACK_EVENTS = 100;

const RECONNECT: Backoff = { baseMs: 250, capMs: 15_000 };
/** Errors that another connection cures; any other would come again over each. */
const PASSING_CODES = new Set(["unavailable", "too_many_frames"]);
/** A connection that lasted this long resets the backoff. */
const STEADY_MS = 5_000;

/**
 * An iterator of events. It connects as soon as it is created; to end it, break out of the loop, call `return()`, or abort its signal (which makes it throw the
 * signal's reason).
 */
export class Subscription implements AsyncIterableIterator<Event, void, undefined> {
  /** Resolves once the service has confirmed: everything from then on is sent. Rejects if the subscription fails first. */
  readonly ready: Promise<void>;
  readonly #buffer = new EventBuffer();
  readonly #ending = new AbortController();
  readonly #wire: Wire;
  readonly #plan: Plan;
  readonly #options: SubscriptionOptions;
  readonly #ran: Promise<void>;
  readonly #isReady = Promise.withResolvers<void>();
  #failure: unknown = null;
  /** Whether the service has confirmed the request over this connection, or sent events: one that merely opens may be useless. */
  #confirmed = false;
  #told = false;
  /** The connection was closed because too much is unread: the next one waits until nothing is. */
  #full = false;
  /** The connection to ack over, and the current connection's flow. */
  #line: Line | null = null;
  #flow: Flow | null = null;
  /** Events that the reader has but is not done with: one, unless it asks for several at once. */
  readonly #handed: Entry[] = [];
  /** For a consumer: everything up to `#cursor` is dealt with; `#unacked` counts those events since the last ack. */
  #cursor = 0;
  #unacked = 0;

  constructor(wire: Wire, plan: Plan, options: SubscriptionOptions = {}) {
    this.#wire = wire;
    this.#plan = plan;
    this.#options = options;
    this.ready = this.#isReady.promise;
    this.ready.catch(() => {}); // not everybody awaits it
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

  /** Ends it; resolves when everything is cleaned up. */
  async return(): Promise<IteratorResult<Event, void>> {
    this.#ackCursor();
    this.#buffer.finish();
    this.#ending.abort(new ConnectionError("The subscription has been closed."));
    await this.#ran;
    return { done: true, value: undefined };
  }

  /** A reader that asks for the next event is done with those before it. */
  #dealt(): void {
    for (const entry of this.#handed.splice(0)) {
      entry.flow.dealt(entry);
      if (entry.cursor === null) continue;
      this.#cursor = Math.max(this.#cursor, entry.cursor);
      this.#unacked++;
    }
    if (this.#buffer.empty || this.#unacked >= ACK_EVENTS) this.#ackCursor();
  }

  /** Over the current connection; without one, over the next. */
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
      if (performance.now() - awaySince >= patienceMs) throw new ConnectionError("The connection was lost and could not be restored.");
      await pause(backoffMs(RECONNECT, tries, this.#wire.random()), signal);
    }
  }

  /** Null if no connection was made. @throws whatever makes another try useless. */
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
      // The last ack may have been lost with the connection.
      const isBehind = frame.channel === this.#plan.channel && (frame.cursor ?? 0) < this.#cursor;
      if (isBehind) this.#unacked ||= 1;
      void this.#confirm(line);
    } else if (frame.type === "error") {
      if (!PASSING_CODES.has(frame.error.code)) throw errorFrom(frame.error);
      // The request was confirmed first, but then could not be met.
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
      // Losing the connection aborts whatever the plan asked for.
      if (line.signal.aborted) return;
      if (!isPassing(error)) this.#failure = error;
      line.lose();
    }
  }

  /**
   * A WebSocket that does not open does not say why. The same door does, when asked over plain HTTP: 426 means that it would open. Any other refusal would come
   * again, however often it is tried.
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

/** Whether a door says that it would open for a WebSocket. */
function isOpen(error: unknown): boolean {
  return error instanceof SluiceError && error.status === 426;
}

/** Whether a later try may succeed. */
function isPassing(error: unknown): boolean {
  return error instanceof SluiceError && (error.status === null || error.status >= 500 || error.status === 408 || error.status === 429);
}
