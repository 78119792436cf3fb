/** Virtual time: events happen in the order of their instants; those of one instant, in the order in which they were planned. */
import { MinHeap } from "./heap.ts";

export class Time {
  /** ms */
  now = 0;
  events = 0;
  readonly #due = new MinHeap<() => void>();

  at(when: number, run: () => void): void {
    this.#due.push(Math.max(when, this.now), run);
  }

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run);
  }

  /** Runs until nothing is planned any more, or until an instant. @throws if that takes more events than it ever should. */
  run(until = Number.POSITIVE_INFINITY, most = 50_000_000): void {
    for (let at = this.#due.least; at !== null && at <= until; at = this.#due.least) {
      const run = this.#due.pop()!;
      this.now = at;
      if (++this.events > most) throw new Error(`no end after ${most} events, at ${this.now} ms`);
      run();
    }
    if (until !== Number.POSITIVE_INFINITY) this.now = Math.max(this.now, until);
  }
}
