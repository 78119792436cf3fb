/**
 * The single order of a channel's events, kept once a consumer has come, so that channels without consumers pay nothing. Law: a place is given once,
 * whatever dies in between; a client that was told everything up to a safe place lacks nothing before it.
 */
import type { MailboxStore } from "./store/store.ts";

/** Places that one row write reserves; those left of them are skipped when the object dies. */
const BLOCK = 10_000;

export class Order {
  readonly #store: MailboxStore;
  #on: boolean;
  #last: number;
  /** Places are reserved up to here. */
  #limit: number;
  /** Places of events that are told later: those of new jobs, which the coordinator may still refuse. In order. */
  readonly #awaited = new Set<number>();

  constructor(store: MailboxStore) {
    this.#store = store;
    this.#on = store.consumers.count() > 0;
    this.#last = store.mark("order");
    this.#limit = this.#last;
  }

  /** A consumer has come: from now on events have places. */
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

  /** No event has a place beyond this one. */
  get last(): number {
    return this.#last;
  }

  awaits(place: number | undefined): void {
    if (place !== undefined) this.#awaited.add(place);
  }

  /** An awaited event has been told, or never will be. */
  passed(place: number | undefined): void {
    if (place !== undefined) this.#awaited.delete(place);
  }

  isAwaited(place: number): boolean {
    return this.#awaited.has(place);
  }

  /** The last place, this one at most, up to which nothing is still awaited. */
  safe(place: number): number {
    const [awaited = Number.POSITIVE_INFINITY] = this.#awaited;
    return Math.min(place, awaited - 1);
  }
}

/** The place as a field, left out if there is none. */
export function placed(place: number | undefined): { place?: number } {
  return place === undefined ? {} : { place };
}
