/**
 * A channel, followed under a name: the service remembers how far the reader has come. Law: an event is acked when the reader asks for the one after
 * it, so that none is lost with a reader that dies over it; what comes again over another connection is passed on once.
 */
import { type Event, eventFrom } from "./events.ts";
import type { Line } from "./socket.ts";
import type { Plan } from "./subscription.ts";

/** Jobs whose last seq is remembered: far more than can be told and not acked. */
const JOBS_REMEMBERED = 20_000;

export class ConsumerPlan implements Plan {
  readonly path: string;
  readonly channel: string;
  readonly #wish: { channel: string; consumer: string; deltas: boolean };
  readonly #seen = new Map<string, number>();

  constructor(channel: string, consumer: string, deltas: boolean) {
    this.channel = channel;
    this.path = `/v1/subscribe?channel=${encodeURIComponent(channel)}`;
    this.#wish = { channel, consumer, deltas };
  }

  opened(line: Line): void {
    line.send(this.#wish);
  }

  async subscribed(): Promise<boolean> {
    return true;
  }

  take(frame: Parameters<Plan["take"]>[0]): Event | null {
    const { job, seq } = frame;
    if (seq <= (this.#seen.get(job) ?? 0)) return null;
    this.#seen.delete(job);
    this.#seen.set(job, seq);
    if (this.#seen.size > JOBS_REMEMBERED) this.#seen.delete(this.#seen.keys().next().value!);
    return eventFrom(frame);
  }

  over(): boolean {
    return false;
  }
}
