/**
 * A stored mark that something is on its way to other mailboxes, in case this one dies meanwhile: events that wait for a message are lost with the object.
 * Law: it is written in the commit of the first event that goes after a rest, and not cleared before all has arrived, or is owed to a lobby that could not be
 * told; in between it is moved on at most every half minute, however much is told.
 */
import type { MailboxStore } from "./store/store.ts";

/** An object that died meanwhile is woken after this; the mark is moved on as often. */
const WATCHDOG_MS = 30_000;

type Ways = {
  now: () => number;
  background: (work: Promise<unknown>) => void;
  wakeBy: (at: number) => void;
  /** Resolves after a while, in which the object stays awake: sooner than the platform would let it sleep. */
  rest: () => Promise<void>;
};

export class Untold {
  readonly #store: MailboxStore;
  readonly #ways: Ways;
  /** Whether all has arrived, except what is stored in another way. */
  readonly #settled: () => boolean;
  /** ms; 0 if all has arrived. */
  #since: number;
  #busy = false;

  constructor(store: MailboxStore, ways: Ways, settled: () => boolean) {
    this.#store = store;
    this.#ways = ways;
    this.#settled = settled;
    this.#since = store.mark("untold");
  }

  /** At wake: since when (ms) something may not have arrived, 0 if all has. The caller is about to tell it again. */
  recall(): number {
    if (this.#since > 0) this.#watch();
    return this.#since;
  }

  /** An event is about to go. */
  goes(): void {
    this.#busy = true;
    if (this.#since > 0) return;
    this.#put(this.#ways.now());
    this.#watch();
  }

  /** When the object must be awake (ms); null if all has arrived. */
  get due(): number | null {
    return this.#since > 0 ? this.#ways.now() + WATCHDOG_MS : null;
  }

  #watch(): void {
    this.#ways.wakeBy(this.#ways.now() + WATCHDOG_MS);
    this.#ways.background(this.#untilAllHasArrived());
  }

  async #untilAllHasArrived(): Promise<void> {
    for (;;) {
      this.#busy = false;
      await this.#ways.rest();
      if (!this.#settled()) continue;
      if (!this.#busy) return this.#put(0);
      const now = this.#ways.now();
      if (now - this.#since >= WATCHDOG_MS) this.#put(now);
    }
  }

  #put(since: number): void {
    this.#since = since;
    this.#store.putMark("untold", since);
  }
}
