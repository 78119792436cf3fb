/** Places that calls hold, each call one or, where it weighs more, several: at most so many are held at once. */
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

  /** Nobody holds any, and nobody waits for some. */
  get isFree(): boolean {
    return this.#free === this.#count && this.#queue.length === 0;
  }

  /** Resolves with the release of what was taken, which may be called more than once; with null if the signal came first. What weighs more than all there is takes all. */
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
    // It may have come between the hand-over and this line.
    if (!signal.aborted) return release;
    release();
    return null;
  }

  /** In the order in which they came: a heavy one is not passed for ever. */
  #handOver(): void {
    for (let next = this.#queue[0]; next && next.weight <= this.#free; next = this.#queue[0]) {
      this.#queue.shift();
      this.#free -= next.weight;
      next.go();
    }
  }

  /** True once its places were handed over, false when the signal came first. */
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
