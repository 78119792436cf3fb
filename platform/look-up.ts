import { aTurn } from "./turns.ts";

/** Far longer than a timer of 0 ms takes while the runtime looks up. */
const UNSEEN_MS = 20;

/**
 * workerd looks up (accepts connections, fires timers, hears from upstream) only when nothing is left to do: kj polls when its queue is empty, and workerd
 * exposes no setting for that. Requests that follow each other on open connections can keep it from looking up for a minute or more, while commits hold
 * its one thread: the next request is always there before it is read. New connections then wait until they time out, and accepted jobs are not begun.
 * Law: a request that runs beside others waits for a timer if none has fired for a while. Once all of them wait, nothing is left to do. While timers
 * fire, no request waits.
 */
export class LookUp {
  #inHand = 0;
  /** When the timer was set that has not fired yet. */
  #since: number | null = null;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `keep` keeps a promise alive beyond its request. */
  async during<T>(work: () => Promise<T>, keep: (timer: Promise<void>) => void): Promise<T> {
    this.#inHand++;
    try {
      if (this.#since === null) {
        // For a lone request the timer would be one more thing to do before the answer.
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
