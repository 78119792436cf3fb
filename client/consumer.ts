/**
 * A channel, followed under a name: the service remembers how far the reader has come. Law: an event is acked when the reader asks for the one after
 * it, so that none is lost with a reader that dies over it; what comes again over another connection is passed on once.
 */
import { type Event, eventFrom } from "./events.ts";
import { type Gap, gapBefore } from "./gaps.ts";
import type { Line } from "./socket.ts";
import type { Plan } from "./subscription.ts";

/** Jobs whose last seq is remembered: far more than can be told and not acked. */
const JOBS_REMEMBERED = 20_000;

/** What is missing of a job, and the frame of this connection that asks for it: what is told before its answer comes too early. */
type Missing = { gap: Gap; asked: number };

export class ConsumerPlan implements Plan {
  readonly path: string;
  readonly channel: string;
  readonly #wish: { channel: string; consumer: string; deltas: boolean };
  readonly #seen = new Map<string, number>();
  readonly #missing = new Map<string, Missing>();
  /** Frames of this connection. */
  #sent = 0;
  #answered = 0;

  constructor(channel: string, consumer: string, deltas: boolean) {
    this.channel = channel;
    this.path = `/v1/subscribe?channel=${encodeURIComponent(channel)}`;
    this.#wish = { channel, consumer, deltas };
  }

  opened(line: Line): void {
    this.#sent = 1;
    this.#answered = 0;
    // No cursor of what showed a gap was acked: it is told again, and shows it again.
    this.#missing.clear();
    line.send(this.#wish);
  }

  async subscribed(): Promise<boolean> {
    this.#answered++;
    return true;
  }

  take(frame: Parameters<Plan["take"]>[0], line: Line): Event | null {
    const { job, seq } = frame;
    const last = this.#seen.get(job);
    const missing = this.#missing.get(job);
    if (seq <= (last ?? 0) || (missing && missing.asked > this.#answered)) return null;
    // Of a job that is new here, the name may have dealt with the beginning; and without deltas their seqs are missing by right.
    const gap = last !== undefined && this.#wish.deltas ? gapBefore(frame, last, missing?.gap ?? null) : null;
    if (gap) {
      this.#missing.set(job, { gap, asked: ++this.#sent });
      line.send({ jobs: [job], after: { [job]: gap.last }, deltas: true });
      return null;
    }
    this.#missing.delete(job);
    this.#seen.delete(job);
    this.#seen.set(job, seq);
    if (this.#seen.size > JOBS_REMEMBERED) this.#seen.delete(this.#seen.keys().next().value!);
    return eventFrom(frame);
  }

  /** While something is missing, no cursor stands for everything before it. */
  whole(): boolean {
    return this.#missing.size === 0;
  }

  over(): boolean {
    return false;
  }
}
