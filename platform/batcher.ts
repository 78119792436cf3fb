/**
 * Gathers calls that arrive together, so that they share one commit or one message. Law: a call that comes alone goes at once, in its own
 * turn (a timer of 0 ms costs 1.1 ms in workerd); calls that come close behind it share the next batch.
 */
type Waiting<T, R> = { item: T; resolve: (result: R) => void; reject: (reason: unknown) => void };

/** The share of the last batch that counts as nearly all of it. */
const REGROUPED = 0.9;

export type BatcherOptions = {
  /** Items in a batch at most. */
  maxItems: number;
  /** Least ms between the starts of two batches. */
  gapMs: number;
  /**
   * Whether a batch may start within the gap, once the last is answered and nearly as many wait as went with it: callers that were
   * answered together come back together, and waiting longer would gain nobody.
   */
  regroup: boolean;
  /**
   * Batches that may wait for their answers at the same time. Under more load than can be answered a gap of time gathers nothing, for each call comes
   * later than that; this does.
   */
  abreast: number;
};

export class Batcher<T, R> {
  #waiting: Waiting<T, R>[] = [];
  #running = 0;
  #startedAt = Number.NEGATIVE_INFINITY;
  #lastSize = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  readonly #flush: (items: T[]) => Promise<R[]>;
  readonly #options: BatcherOptions;

  /** `flush` answers in order. If it throws, every call of the batch fails with that reason. */
  constructor(flush: (items: T[]) => Promise<R[]>, options: BatcherOptions) {
    this.#flush = flush;
    this.#options = options;
  }

  add(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#start();
    });
  }

  #start(): void {
    while (this.#waiting.length > 0 && this.#mayStart()) {
      this.#startedAt = Date.now();
      this.#running++;
      const batch = this.#waiting.splice(0, this.#options.maxItems);
      this.#lastSize = batch.length;
      void this.#run(batch);
    }
  }

  #mayStart(): boolean {
    const { abreast, gapMs, regroup } = this.#options;
    if (this.#running >= abreast) return false;
    // A clock that stepped back makes nobody wait for it.
    this.#startedAt = Math.min(this.#startedAt, Date.now());
    const left = this.#startedAt + gapMs - Date.now();
    if (left <= 0) return true;
    if (regroup && this.#running === 0 && this.#waiting.length >= this.#lastSize * REGROUPED) return true;
    this.#later(left);
    return false;
  }

  #later(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#start();
    }, ms);
  }

  async #run(batch: Waiting<T, R>[]): Promise<void> {
    try {
      const results = await this.#flush(batch.map((each) => each.item));
      batch.forEach((each, index) => {
        each.resolve(results[index]!);
      });
    } catch (reason) {
      for (const each of batch) each.reject(reason);
    }
    this.#running--;
    this.#start();
  }
}
