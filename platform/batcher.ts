/**
 * Gathers calls that arrive together, so that they share one commit or one message. Law: a call that comes alone goes at once, in its own
 * turn (a timer of 0 ms costs 1.1 ms in workerd); calls that come close behind it share the next batch.
 */
type Waiting<T, R> = { item: T; resolve: (result: R) => void; reject: (reason: unknown) => void };

/** The share of the callers that counts as nearly all of them. */
const REGROUPED = 0.9;
/**
 * While a batch is under way, and less than this share of the callers waits, nothing starts for this many gaps: those who come late wait for the others. If
 * more wait, nothing starts until that batch should be answered, but at most for as many gaps: where commits are slow, a second one makes the first slower
 * still, and 32 callers would fall apart into ones and twos with a commit each.
 */
const LATE = { share: 0.5, gaps: 4 };

export type BatcherOptions = {
  /** Items in a batch at most. */
  maxItems: number;
  /** Least ms between the starts of two batches. */
  gapMs: number;
  /**
   * Whether callers call again once they are answered, so that it is known whom to wait for: those of the batches under way, and those who wait.
   * A batch then starts within the gap as soon as nearly all are there, and otherwise no sooner than a gap after the last answer. Without this they
   * would fall apart into groups that take turns, each with a commit of its own.
   */
  regroup: boolean;
  /**
   * Batches that may wait for their answers at the same time. Under more load than can be answered, a gap in time gathers nothing, because each call
   * comes later than that; this bound does.
   */
  abreast: number;
};

export class Batcher<T, R> {
  #waiting: Waiting<T, R>[] = [];
  #running = 0;
  #startedAt = Number.NEGATIVE_INFINITY;
  #answeredAt = Number.NEGATIVE_INFINITY;
  /** Callers that are known: those who waited, or whose batches were under way, at the last start or answer. */
  #callers = 0;
  /** Those of them whose batches are under way. */
  #underway = 0;
  /** How long the last answer took, ms. */
  #tookMs = 0;
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
      this.#underway += batch.length;
      this.#callers = this.#underway + this.#waiting.length;
      void this.#run(batch);
    }
  }

  #mayStart(): boolean {
    const { abreast, regroup } = this.#options;
    if (this.#running >= abreast) return false;
    const now = Date.now();
    // If the clock stepped back, nobody waits until it has caught up.
    this.#startedAt = Math.min(this.#startedAt, now);
    this.#answeredAt = Math.min(this.#answeredAt, now);
    if (regroup && this.#running === 0 && this.#waiting.length >= this.#callers * REGROUPED) return true;
    const left = this.#dueAt() - now;
    if (left <= 0) return true;
    this.#later(left);
    return false;
  }

  #dueAt(): number {
    const { gapMs, regroup } = this.#options;
    const gapOver = this.#startedAt + gapMs;
    if (!regroup) return gapOver;
    if (this.#running === 0) return Math.max(gapOver, this.#answeredAt + gapMs);
    const late = gapMs * LATE.gaps;
    if (this.#waiting.length < this.#callers * LATE.share) return this.#startedAt + late;
    return Math.max(gapOver, this.#startedAt + Math.min(this.#tookMs, late));
  }

  #later(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#start();
    }, ms);
  }

  async #run(batch: Waiting<T, R>[]): Promise<void> {
    const began = Date.now();
    try {
      const results = await this.#flush(batch.map((each) => each.item));
      batch.forEach((each, index) => {
        each.resolve(results[index]!);
      });
    } catch (reason) {
      for (const each of batch) each.reject(reason);
    }
    this.#running--;
    this.#callers = this.#underway + this.#waiting.length;
    this.#underway -= batch.length;
    this.#answeredAt = Date.now();
    this.#tookMs = this.#answeredAt - began;
    this.#start();
  }
}
