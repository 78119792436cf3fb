/** The coordinator's turns, one after the other: each is decided, written, sent and timed. */
import type { Timekeeper } from "../../platform/alarm.ts";
import { ringWhenDeep } from "../../platform/nesting.ts";
import { askDispatchers, type Post, send, sendAhead } from "./post.ts";
import type { CoordinatorStore } from "./store/store.ts";
import { decide, record } from "./turn.ts";

export type RoundsOf = {
  post: Post;
  store: CoordinatorStore;
  timekeeper: Timekeeper;
  /** `abort` ends the object, which restarts from storage. `sync` resolves once everything written is durable. */
  object: { abort: (reason: string) => void; storage: { sync: () => Promise<void> } };
};

/** Longest wait for starts to be answered before a restart; a dispatcher that has not answered by then is asked what it holds. */
const ARRIVED_MS = 2_000;

export class Rounds {
  readonly #of: RoundsOf;

  constructor(of: RoundsOf) {
    this.#of = of;
  }

  /** The object has woken: its dispatchers are asked what they hold, and what may start starts. */
  begin(): void {
    const { post, timekeeper } = this.#of;
    ringWhenDeep(post.env, () => timekeeper.ring(post.now()));
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
   * Restarts from what is written. Callers that wait for the object ask again. Nothing starts any more, and leases on their way arrive first: after the restart
   * nobody would know whether their calls were made.
   */
  renew(reason: string): Promise<void> {
    const ended = this.#end(reason);
    // Whoever asked for it may have left by then.
    this.#of.post.background(ended);
    return ended;
  }

  async #end(reason: string): Promise<void> {
    const { object, post } = this.#of;
    post.book.isLast = true;
    try {
      await Promise.race([Promise.all(post.starts), new Promise((done) => setTimeout(done, ARRIVED_MS))]);
      // Writes what the answers brought about.
      this.turn(() => {});
      await object.storage.sync();
    } finally {
      // Whatever happened: nothing would ever start again otherwise.
      object.abort(reason);
    }
  }

  /** Runs work that may write. @throws what it throws; the object then ends, since its book may be ahead of what is written. */
  orAbort<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#of.object.abort(`coordinator turn failed: ${String(error)}`);
      throw error;
    }
  }
}
