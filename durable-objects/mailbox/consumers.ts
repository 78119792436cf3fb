/**
 * Clients that come back under a name and go on after what they acked, whatever became of their sockets. Law: a cursor only moves forward, and
 * no event up to it is told again.
 */
import { CONSUMERS_LIMIT } from "../../schemas/socket.ts";
import type { Desk } from "./desk.ts";

export class Consumers {
  readonly #desk: () => Desk;

  constructor(desk: () => Desk) {
    this.#desk = desk;
  }

  /**
   * Where a consumer goes on: after what it acked, or from now on if it is new here; null if there are too many of its kind. The kind stands before
   * the slash of its name: the holder of a browser token can make up names at will, and must not use up those of keys.
   */
  open(name: string): { cursor: number; resumed: boolean } | null {
    const { now, order, retentionMs, store, wakeBy } = this.#desk();
    store.consumers.drop(now() - retentionMs);
    const known = store.consumers.cursor(name);
    if (known === null && store.consumers.count(name.slice(0, name.indexOf("/") + 1)) >= CONSUMERS_LIMIT) return null;
    order.begin();
    const cursor = known ?? order.safe(order.last);
    // Written again when it comes, so that it is kept for as long as the jobs that it may have missed.
    store.consumers.put(name, cursor, now());
    wakeBy(now() + retentionMs);
    return { cursor, resumed: known !== null };
  }

  /** A socket of the consumer is gone: the retention time counts from now, however long it was connected without an ack. */
  left(name: string | null): void {
    if (name === null) return;
    const { now, retentionMs, store, wakeBy } = this.#desk();
    store.consumers.saw(name, now());
    wakeBy(now() + retentionMs);
  }

  /** The consumer has dealt with everything up to a cursor. False: no event can have had this cursor. */
  ack(name: string, cursor: number): boolean {
    const { now, order, store } = this.#desk();
    if (cursor > order.last) return false;
    if (cursor > (store.consumers.cursor(name) ?? -1)) store.consumers.put(name, cursor, now());
    return true;
  }
}
