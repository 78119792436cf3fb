/**
 * Tickets that came together and wait are one row. Law: a ticket is in its segment until it has a row of its own or is gone, and then its
 * bit is set in the same commit: at wake it is found exactly once.
 */
import type { Entry } from "./book.ts";
import type { CoordinatorStore } from "./store/store.ts";

/** Fewer are written one by one: a segment costs a row itself, and one more whenever tickets leave it. */
const LEAST = 8;

export type Segment = { readonly id: number; left: number; readonly out: Uint8Array };

export class Segments {
  readonly #dirty = new Set<Segment>();
  #next = 1;

  /** After a wake: takes a stored segment in. */
  restore(id: number, left: number, out: Uint8Array): Segment {
    this.#next = Math.max(this.#next, id + 1);
    return { id, left, out };
  }

  /** Writes new tickets: those that wait in segments, the others by themselves. */
  write(store: CoordinatorStore, fresh: Entry[]): void {
    const byMailbox = Map.groupBy(fresh, (entry) => entry.row.mailbox);
    for (const [mailbox, entries] of byMailbox) {
      if (entries.length < LEAST) {
        for (const { row } of entries) store.putTicket(row);
        continue;
      }
      const segment: Segment = { id: this.#next++, left: entries.length, out: new Uint8Array(Math.ceil(entries.length / 8)) };
      store.addSegment(
        segment.id,
        mailbox,
        entries.map((entry) => entry.row),
      );
      entries.forEach((entry, index) => {
        entry.place = { segment, index };
      });
    }
  }

  /** The ticket leaves its segment, if it is in one; answers whether it was. */
  leave(entry: Entry): boolean {
    if (!entry.place) return false;
    const { segment, index } = entry.place;
    segment.out[index >> 3]! |= 0x80 >> (index & 7);
    segment.left--;
    this.#dirty.add(segment);
    entry.place = null;
    return true;
  }

  /** Writes which tickets have left. */
  flush(store: CoordinatorStore): void {
    for (const segment of this.#dirty) {
      if (segment.left === 0) store.dropSegment(segment.id);
      else store.markSegment(segment.id, segment.out);
    }
    this.#dirty.clear();
  }
}
