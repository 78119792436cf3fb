/**
 * Gathers calls that arrive together, so that they share one commit or one message. The first call of a quiet time waits
 * for the end of the turn only; what comes soon after it goes with the next batch.
 */
type Waiting<T, R> = { item: T; resolve: (result: R) => void; reject: (reason: unknown) => void };

export type BatcherOptions = {
  /** Items in a batch at most. */
  maxItems: number;
  /** Least ms between the starts of two batches. */
  spacingMs: number;
  /** Whether a batch may start before the last one is answered. */
  overlap: boolean;
};

export class Batcher<T, R> {
  #waiting: Waiting<T, R>[] = [];
  #armed = false;
  readonly #flush: (items: T[]) => Promise<R[]>;
  readonly #options: BatcherOptions;

  /** `flush` answers in order. If it throws, every call of the batch fails with that reason. */
  constructor(flush: (items: T[]) => Promise<R[]>, options: BatcherOptions) {
    this.#flush = flush;
    this.#options = options;
  }

  get pending(): number {
    return this.#waiting.length;
  }

  add(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#arm();
    });
  }

  #arm(): void {
    if (this.#armed || this.#waiting.length === 0) return;
    this.#armed = true;
    setTimeout(() => void this.#turn(), 0);
  }

  async #turn(): Promise<void> {
    const batch = this.#waiting.splice(0, this.#options.maxItems);
    const sent = this.#send(batch);
    const { spacingMs, overlap } = this.#options;
    if (spacingMs > 0) await new Promise((done) => setTimeout(done, spacingMs));
    if (!overlap) await sent;
    this.#armed = false;
    this.#arm();
  }

  async #send(batch: Waiting<T, R>[]): Promise<void> {
    try {
      const results = await this.#flush(batch.map((each) => each.item));
      batch.forEach((each, index) => {
        each.resolve(results[index]!);
      });
    } catch (reason) {
      for (const each of batch) each.reject(reason);
    }
  }
}
