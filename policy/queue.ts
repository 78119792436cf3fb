/**
 * The jobs of one flow in one pool, in the order in which they start: effective time, then arrival.
 * A sorted run with a head offset: appending and taking the first are O(1), rank and search O(log n),
 * and an insertion in the middle (a priority, a retry) is one memmove.
 */
export type Waiting = {
  readonly job: string;
  readonly tenant: string;
  /** With whose jobs it stands in line (flow.ts). */
  readonly flow: string;
  readonly tokens: number;
  /** How many of these are its prompt's, as far as is known. */
  readonly prompt?: number | undefined;
  readonly priority: number;
  /** ms: since when it waits, or behind whom it stands, less the head start that `priority` gives. */
  readonly effectiveAt: number;
  /** Since when it waits, ms. */
  readonly since: number;
  /** Order of arrival at the coordinator; breaks ties. */
  readonly arrival: number;
};

/** Where a job stands among its flow's own. */
export type Place = Pick<Waiting, "effectiveAt" | "arrival">;

export class Queue {
  #run: Waiting[] = [];
  #head = 0;

  get size(): number {
    return this.#run.length - this.#head;
  }

  first(): Waiting | undefined {
    return this.#run[this.#head];
  }

  add(waiting: Waiting): void {
    const last = this.#run[this.#run.length - 1];
    if (!last || this.size === 0 || !precedes(waiting, last)) this.#run.push(waiting);
    else this.#run.splice(this.#find(waiting), 0, waiting);
  }

  takeFirst(): Waiting | undefined {
    const first = this.#run[this.#head];
    if (!first) return undefined;
    this.#head++;
    // Freed in halves, so that each element is moved at most once on average.
    if (this.#head > 1_024 && this.#head * 2 > this.#run.length) {
      this.#run = this.#run.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }

  remove(waiting: Waiting): boolean {
    const index = this.#find(waiting);
    if (this.#run[index] !== waiting) return false;
    if (index === this.#head) this.takeFirst();
    else this.#run.splice(index, 1);
    return true;
  }

  /** Takes these out, in order; what stands elsewhere is left out. Those that stand side by side go at once: what is behind them moves once. */
  removeAll(jobs: readonly Waiting[]): void {
    for (let next = 0; next < jobs.length; ) {
      const index = this.#find(jobs[next]!);
      let together = 0;
      while (next + together < jobs.length && this.#run[index + together] === jobs[next + together]) together++;
      if (together === 1) this.remove(jobs[next]!);
      else if (together > 1) this.#run.splice(index, together);
      next += Math.max(together, 1);
    }
  }

  /** How many of the queue start before this place. */
  rank(place: Place): number {
    return this.#find(place) - this.#head;
  }

  /** Those behind the first `keep`, the last first. Nothing may be added meanwhile; what was yielded may be removed. */
  *fromBack(keep: number): Iterable<Waiting> {
    for (let index = this.#run.length - 1; index >= this.#head + keep; index--) {
      const waiting = this.#run[index];
      if (waiting) yield waiting;
    }
  }

  *[Symbol.iterator](): Iterator<Waiting> {
    for (let index = this.#head; index < this.#run.length; index++) yield this.#run[index]!;
  }

  #find(place: Place): number {
    let low = this.#head;
    let high = this.#run.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (precedes(this.#run[middle]!, place)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function precedes(a: Place, b: Place): boolean {
  return a.effectiveAt < b.effectiveAt || (a.effectiveAt === b.effectiveAt && a.arrival < b.arrival);
}
