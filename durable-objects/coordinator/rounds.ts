/** The coordinator's turns, one after the other: each is decided, written, sent and timed. */
import type { Timekeeper } from "../../platform/alarm.ts";
import { askDispatchers, type Post, send, sendAhead } from "./post.ts";
import type { CoordinatorStore } from "./store/store.ts";
import { decide, record } from "./turn.ts";

export type RoundsOf = {
  post: Post;
  store: CoordinatorStore;
  timekeeper: Timekeeper;
  /** `abort` ends it: it begins again from storage. `sync` resolves once all that was written is durable. */
  object: { abort: (reason: string) => void; storage: { sync: () => Promise<void> } };
};

/** A dispatcher that has not answered by then is asked what it holds. */
const ARRIVED_MS = 2_000;

export class Rounds {
  readonly #of: RoundsOf;

  constructor(of: RoundsOf) {
    this.#of = of;
  }

  /** The object has woken: its dispatchers are asked what they hold, and what may start starts. */
  begin(): void {
    const { post } = this.#of;
    askDispatchers(post);
    if (post.book.entries.size > 0) post.background(Promise.resolve().then(() => this.turn(() => {})));
  }

  turn<T>(step: (now: number) => T): T {
    const { post, store, timekeeper } = this.#of;
    const now = post.now();
    return this.orAbort(() => {
      const result = decide(post.book, now, post.random, step);
      sendAhead(post);
      record(post.book, store, now);
      send(post, now);
      timekeeper.wakeAt(post.book.nextWake(), now);
      return result;
    });
  }

  /**
   * Begins anew from what is written. Whoever waits for the object asks again. Nothing starts any more, and leases on their way arrive first: a new beginning would not know whether their calls were made.
   */
  renew(reason: string): Promise<void> {
    const ended = this.#end(reason);
    // Who asked for it may have left by then.
    this.#of.post.background(ended);
    return ended;
  }

  async #end(reason: string): Promise<void> {
    const { object, post } = this.#of;
    post.book.isLast = true;
    try {
      await Promise.race([Promise.all(post.starts), new Promise((done) => setTimeout(done, ARRIVED_MS))]);
      // With what they brought about.
      this.turn(() => {});
      await object.storage.sync();
    } finally {
      // Whatever became of it: nothing would ever start again.
      object.abort(reason);
    }
  }

  /** Does what may write. @throws what it throws; the object then ends, for its book may have run ahead of what is written. */
  orAbort<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#of.object.abort(`coordinator turn failed: ${String(error)}`);
      throw error;
    }
  }
}
