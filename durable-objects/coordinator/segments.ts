/**
 * Tickets that came together and wait share one row. Law: a ticket is in its segment until it has a row of its own or is gone; its bit is then set
 * in the same commit, so that a wake finds it exactly once.
 */
import type { Entry } from "./book.ts";
import type { CoordinatorStore, StoredSegment } from "./store/store.ts";

/** Fewer tickets are written one by one: a segment costs a row itself, and another whenever tickets leave it. */
const LEAST = 8;
/** More are split: the smaller a segment, the less must be in memory before it is needed (`resting.ts`). */
export const MOST = 32;

export type Segment = {
  readonly id: number;
  readonly mailbox: number;
  left: number;
  readonly out: Uint8Array;
  /** The tickets that are left, each at its index. */
  readonly entries: (Entry | null)[];
  /** Whether storage has it as resting. */
  resting: boolean;
};

export class Segments {
  readonly #dirty = new Set<Segment>();
  #next = 1;

  /** After a wake, of the object or of a resting segment: takes a stored segment in. Its tickets follow one by one. */
  restore({ id, mailbox, out, size, tickets }: StoredSegment, resting: boolean): Segment {
    this.noteId(id);
    return { id, mailbox, left: tickets.length, out, entries: new Array(size).fill(null), resting };
  }

  /** This id is taken. */
  noteId(id: number): void {
    this.#next = Math.max(this.#next, id + 1);
  }

  put(segment: Segment, index: number, entry: Entry): void {
    segment.entries[index] = entry;
    entry.place = { segment, index };
  }

  /** Writes new waiting tickets: in segments where enough came from one mailbox, else one by one. */
  write(store: CoordinatorStore, fresh: Entry[]): void {
    if (fresh.length === 0) return;
    const byMailbox = Map.groupBy(fresh, (entry) => entry.row.mailbox);
    for (const [mailbox, entries] of byMailbox) {
      for (let from = 0; from < entries.length; from += MOST) {
        const together = entries.slice(from, from + MOST);
        if (together.length < LEAST) for (const { row } of together) store.putTicket(row);
        else this.join(store, mailbox, together);
      }
    }
  }

  /** Writes tickets of one mailbox as a new segment. */
  join(store: CoordinatorStore, mailbox: number, entries: readonly Entry[]): Segment {
    const { length } = entries;
    const out = new Uint8Array(Math.ceil(length / 8));
    const segment: Segment = { id: this.#next++, mailbox, left: length, out, entries: new Array(length).fill(null), resting: false };
    store.addSegment(
      segment.id,
      mailbox,
      entries.map((entry) => entry.row),
    );
    entries.forEach((entry, index) => {
      this.put(segment, index, entry);
    });
    return segment;
  }

  /** Takes the ticket out of its segment; returns whether it was in one. */
  leave(entry: Entry): boolean {
    if (!entry.place) return false;
    const { segment, index } = entry.place;
    segment.out[index >> 3]! |= 0x80 >> (index & 7);
    segment.left--;
    segment.entries[index] = null;
    this.#dirty.add(segment);
    entry.place = null;
    return true;
  }

  /** Writes which tickets have left. */
  flush(store: CoordinatorStore): void {
    if (this.#dirty.size === 0) return;
    for (const segment of this.#dirty) {
      if (segment.left === 0) store.dropSegment(segment.id);
      else store.markSegment(segment.id, segment.out);
      if (segment.resting) store.dropResting(segment.id);
      segment.resting = false;
    }
    this.#dirty.clear();
  }
}
