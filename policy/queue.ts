/**
 * The jobs of one flow in one pool, in the order in which they start: effective time, then arrival. Sorted runs of up to a thousand, the first with a head
 * offset: appending and taking the first are O(1), a search is O(log n), a rank counts the runs before it, and an insertion in the middle (a priority, a retry)
 * moves at most a thousand jobs, however many wait.
 */
export type Waiting = {
  readonly job: string;
  readonly tenant: string;
  /** The flow that it stands in line with (flow.ts). */
  readonly flow: string;
  readonly tokens: number;
  /** How many of these are its prompt's, if that is known. */
  readonly prompt?: number | undefined;
  readonly priority: number;
  /** ms: when it began to wait, or the later instant that it was put behind, less the head start that `priority` gives. */
  readonly effectiveAt: number;
  /** When it began to wait, ms. */
  readonly since: number;
  /** Order of arrival at the coordinator; breaks ties. */
  readonly arrival: number;
};

/** Where a job stands within its flow. */
export type Place = Pick<Waiting, "effectiveAt" | "arrival">;

/** Jobs in one run at most; a run that would hold more is cut in two. */
const RUN_MOST = 1_024;

export class Queue {
  /** In order, none empty. */
  readonly #runs: Waiting[][] = [];
  /** How many jobs of the first run are gone. */
  #head = 0;
  #size = 0;
  /** Cached: with a thousand tenants it is read far more often than it changes. */
  #first: Waiting | undefined = undefined;

  get size(): number {
    return this.#size;
  }

  first(): Waiting | undefined {
    return this.#first;
  }

  second(): Waiting | undefined {
    return this.#runs[0]?.[this.#head + 1] ?? this.#runs[1]?.[0];
  }

  add(waiting: Waiting): void {
    this.#size++;
    this.#insert(waiting);
    this.#note();
  }

  #insert(waiting: Waiting): void {
    const at = this.#runOf(waiting);
    const run = this.#runs[at] ?? this.#runs.at(-1);
    if (!run || (at === this.#runs.length && run.length >= RUN_MOST)) {
      this.#runs.push([waiting]);
      return;
    }
    if (at === this.#runs.length) run.push(waiting);
    else run.splice(this.#find(run, waiting, at === 0 ? this.#head : 0), 0, waiting);
    if (run.length > RUN_MOST) this.#cut(Math.min(at, this.#runs.length - 1));
  }

  takeFirst(): Waiting | undefined {
    const [run] = this.#runs;
    if (!run) return undefined;
    const first = run[this.#head++];
    this.#size--;
    if (this.#head === run.length) this.#drop(0);
    this.#note();
    return first;
  }

  has(waiting: Waiting): boolean {
    const at = this.#runOf(waiting);
    const run = this.#runs[at];
    return run !== undefined && run[this.#find(run, waiting, at === 0 ? this.#head : 0)] === waiting;
  }

  remove(waiting: Waiting): boolean {
    if (this.first() === waiting) {
      this.takeFirst();
      return true;
    }
    const at = this.#runOf(waiting);
    const run = this.#runs[at];
    if (!run) return false;
    const index = this.#find(run, waiting, at === 0 ? this.#head : 0);
    if (run[index] !== waiting) return false;
    this.#cutOut(at, index, 1);
    return true;
  }

  /** Takes these jobs out, given in order; skips those not in this queue. Neighbours go together, so that what is behind them moves only once. */
  removeAll(jobs: readonly Waiting[]): void {
    for (let next = 0; next < jobs.length; ) {
      const at = this.#runOf(jobs[next]!);
      const run = this.#runs[at];
      const index = run ? this.#find(run, jobs[next]!, at === 0 ? this.#head : 0) : 0;
      let together = 0;
      while (run && next + together < jobs.length && index + together < run.length && run[index + together] === jobs[next + together])
        together++;
      if (together === 1) this.remove(jobs[next]!);
      else if (together > 1) this.#cutOut(at, index, together);
      next += Math.max(together, 1);
    }
  }

  /** How many jobs of the queue start before this place. */
  rank(place: Place): number {
    const at = this.#runOf(place);
    if (at === this.#runs.length) return this.#size;
    let rank = -this.#head;
    for (let before = 0; before < at; before++) rank += this.#runs[before]!.length;
    return rank + this.#find(this.#runs[at]!, place, at === 0 ? this.#head : 0);
  }

  /** The jobs behind the first `keep`, last first. Nothing may be added meanwhile; jobs already yielded may be removed. */
  *fromBack(keep: number): Iterable<Waiting> {
    let left = this.#size - keep;
    for (let at = this.#runs.length - 1; at >= 0 && left > 0; at--) {
      const run = this.#runs[at];
      if (!run) continue;
      for (let index = run.length - 1; index >= (at === 0 ? this.#head : 0) && left > 0; index--) {
        const waiting = run[index];
        if (!waiting) continue;
        left--;
        yield waiting;
      }
    }
  }

  *[Symbol.iterator](): Iterator<Waiting> {
    for (const [at, run] of this.#runs.entries()) yield* at === 0 ? run.slice(this.#head) : run;
  }

  /** Index of the run that a place is in, or would be: the first whose last job does not come before it. Behind all runs: their number. */
  #runOf(place: Place): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (precedes(this.#runs[middle]!.at(-1)!, place)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #find(run: readonly Waiting[], place: Place, from: number): number {
    let low = from;
    let high = run.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (precedes(run[middle]!, place)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #note(): void {
    this.#first = this.#runs[0]?.[this.#head];
  }

  #cut(at: number): void {
    const run = this.#runs[at]!;
    if (at === 0) run.splice(0, this.#head);
    if (at === 0) this.#head = 0;
    if (run.length > 1) this.#runs.splice(at + 1, 0, run.splice(run.length >> 1));
  }

  #cutOut(at: number, index: number, count: number): void {
    const run = this.#runs[at]!;
    run.splice(index, count);
    this.#size -= count;
    if (run.length === (at === 0 ? this.#head : 0)) this.#drop(at);
    this.#note();
  }

  #drop(at: number): void {
    this.#runs.splice(at, 1);
    if (at === 0) this.#head = 0;
  }
}

export function precedes(a: Place, b: Place): boolean {
  return a.effectiveAt < b.effectiveAt || (a.effectiveAt === b.effectiveAt && a.arrival < b.arrival);
}
