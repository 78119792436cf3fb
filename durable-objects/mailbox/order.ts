/**
 * The one order of a channel's events, kept from the day on which a consumer first comes: who uses none pays nothing. Law: a place is given once,
 * whatever dies in between; who was told everything up to a safe place lacks nothing before it.
 */
import type { MailboxStore } from "./store/store.ts";

/** Places that are set aside by one row written: so many events a row, and so many are skipped when the object dies. */
const BLOCK = 10_000;

export class Order {
  readonly #store: MailboxStore;
  #on: boolean;
  #last: number;
  /** Set aside up to here. */
  #limit: number;
  /** Events that have a place and are told later: new jobs that the coordinator may still refuse. In order. */
  readonly #awaited = new Set<number>();

  constructor(store: MailboxStore) {
    this.#store = store;
    this.#on = store.consumers.count() > 0;
    this.#last = store.mark("order");
    this.#limit = this.#last;
  }

  /** A consumer is there: from now on events have places. */
  begin(): void {
    this.#on = true;
  }

  /** The place of the next event; undefined while nobody needs one. */
  next(): number | undefined {
    if (!this.#on) return undefined;
    if (this.#last === this.#limit) {
      this.#limit += BLOCK;
      this.#store.putMark("order", this.#limit);
    }
    return ++this.#last;
  }

  /** No event has a place beyond. */
  get last(): number {
    return this.#last;
  }

  awaits(place: number | undefined): void {
    if (place !== undefined) this.#awaited.add(place);
  }

  /** What was awaited has been told, or will never be. */
  passed(place: number | undefined): void {
    if (place !== undefined) this.#awaited.delete(place);
  }

  isAwaited(place: number): boolean {
    return this.#awaited.has(place);
  }

  /** The last place up to this one before which nothing is still to be told. */
  safe(place: number): number {
    const [awaited = Number.POSITIVE_INFINITY] = this.#awaited;
    return Math.min(place, awaited - 1);
  }
}

/** As a field that is missing of what has no place. */
export function placed(place: number | undefined): { place?: number } {
  return place === undefined ? {} : { place };
}
