import { aTurn } from "./turns.ts";

/** Far longer than a timer of 0 ms takes where the runtime looks up. */
const UNSEEN_MS = 20;

/**
 * workerd looks up (accepts connections, ends timers, hears from upstream) only when nothing is left to do: kj polls when its queue is empty, and has no
 * setting that workerd would show. Requests that follow each other on open connections can keep it from that for a minute and more, while commits hold
 * its one thread: the next is always there before it is read. New connections are then left until they time out, and accepted jobs are not begun.
 * Law: beside others, a request waits for a timer while none has ended for a while. Once all do, nothing is left to do. Where timers end no request waits.
 */
export class LookUp {
  #inHand = 0;
  /** When a timer was set that has not ended yet. */
  #since: number | null = null;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `keep` holds on to a promise beyond its request. */
  async during<T>(work: () => Promise<T>, keep: (timer: Promise<void>) => void): Promise<T> {
    this.#inHand++;
    try {
      if (this.#since === null) {
        // Alone, the timer would be one more thing to do before the answer.
        if (this.#inHand > 1) keep(this.#timer());
      } else if (this.#now() - this.#since > UNSEEN_MS) await this.#timer();
      return await work();
    } finally {
      this.#inHand--;
    }
  }

  async #timer(): Promise<void> {
    this.#since ??= this.#now();
    await aTurn();
    this.#since = null;
  }
}
