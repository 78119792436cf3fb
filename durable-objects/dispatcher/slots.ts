/** A fixed number of places that calls hold: each call one, or several if it weighs more. */
export class Slots {
  readonly #count: number;
  #free: number;
  readonly #queue: { weight: number; go: () => void }[] = [];

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** Nobody holds a place or waits for one. */
  get isFree(): boolean {
    return this.#free === this.#count && this.#queue.length === 0;
  }

  /**
   * Resolves with a function that gives back what was taken, and may be called more than once; with null if the signal aborts first. A call that weighs more
   * than there are places takes them all.
   */
  async take(signal: AbortSignal, wanted = 1): Promise<(() => void) | null> {
    if (signal.aborted) return null;
    const weight = Math.min(wanted, this.#count);
    if (this.#queue.length === 0 && weight <= this.#free) this.#free -= weight;
    else if (!(await this.#turn(signal, weight))) return null;
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      this.#free += weight;
      this.#handOver();
    };
    // The signal may have aborted between the hand-over and this line.
    if (!signal.aborted) return release;
    release();
    return null;
  }

  /** In order of arrival, so that a heavy call is not overtaken for ever. */
  #handOver(): void {
    for (let next = this.#queue[0]; next && next.weight <= this.#free; next = this.#queue[0]) {
      this.#queue.shift();
      this.#free -= next.weight;
      next.go();
    }
  }

  /** True once its places were handed over, false if the signal aborted first. */
  #turn(signal: AbortSignal, weight: number): Promise<boolean> {
    return new Promise((done) => {
      const turn = { weight, go: () => done(true) };
      this.#queue.push(turn);
      signal.addEventListener("abort", () => {
        const place = this.#queue.indexOf(turn);
        if (place < 0) return;
        this.#queue.splice(place, 1);
        done(false);
        this.#handOver();
      });
    });
  }
}
