/** Virtual time: events happen in order of their instant, those of one instant in the order in which they were planned. */
import { MinHeap } from "./heap.ts";

type Event = { at: number; order: number; run: () => void };

export class Time {
  /** ms */
  now = 0;
  events = 0;
  readonly #due = new MinHeap<Event>((a, b) => a.at < b.at || (a.at === b.at && a.order < b.order));
  #order = 0;

  at(when: number, run: () => void): void {
    this.#due.push({ at: Math.max(when, this.now), order: this.#order++, run });
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run);
  }

  /** Runs until nothing is planned any more, or until an instant. @throws if that takes more events than it ever should. */
  run(until = Number.POSITIVE_INFINITY, most = 50_000_000): void {
    for (let event = this.#due.peek(); event && event.at <= until; event = this.#due.peek()) {
      this.#due.pop();
      this.now = event.at;
      if (++this.events > most) throw new Error(`no end after ${most} events, at ${this.now} ms`);
      event.run();
    }
    if (until !== Number.POSITIVE_INFINITY) this.now = Math.max(this.now, until);
  }
}
