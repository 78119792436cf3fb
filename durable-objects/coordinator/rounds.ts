/** The coordinator's turns, one after the other: each is decided, written, sent and timed. */
import type { Timekeeper } from "../../platform/alarm.ts";
import { type Post, send, sendAhead } from "./post.ts";
import type { CoordinatorStore } from "./store/store.ts";
import { decide, record } from "./turn.ts";

export type RoundsOf = {
  post: Post;
  store: CoordinatorStore;
  timekeeper: Timekeeper;
  /** Ends the object, which begins again from storage. */
  abort: (reason: string) => void;
};

export class Rounds {
  readonly #of: RoundsOf;

  constructor(of: RoundsOf) {
    this.#of = of;
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

  /** Does what may write. @throws what it throws; the object then ends, for its book may have run ahead of what is written. */
  orAbort<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#of.abort(`coordinator turn failed: ${String(error)}`);
      throw error;
    }
  }
}
