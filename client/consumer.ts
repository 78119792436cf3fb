/**
 * Follows a channel under a name: the service remembers how far the reader has come. Law: an event is acked when the reader asks for the next one, so that none
 * is lost with a reader that dies while handling it; an event that comes again over another connection is passed on only once.
 */
import { type Event, eventFrom } from "./events.ts";
import { type Gap, gapBefore } from "./gaps.ts";
import type { Line } from "./socket.ts";
import type { Plan } from "./subscription.ts";

/** Jobs whose last seq is remembered: far more than can be sent without being acked. */
const JOBS_REMEMBERED = 20_000;

/** A gap in a job's events, and the number of the frame on this connection that asks for it; events before its answer come too early. */
type Missing = { gap: Gap; asked: number };

export class ConsumerPlan implements Plan {
  readonly path: string;
  readonly channel: string;
  readonly #wish: { channel: string; consumer: string; deltas: boolean };
  readonly #seen = new Map<string, number>();
  readonly #missing = new Map<string, Missing>();
  /** Frames on this connection. */
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
    // No cursor past a gap was acked, so those events come again and show the gap again.
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
    // For a job new to this process, the name may have dealt with its beginning; and without deltas, their seqs are rightly missing.
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

  /** While something is missing, no cursor covers everything before it. */
  whole(): boolean {
    return this.#missing.size === 0;
  }

  over(): boolean {
    return false;
  }
}
