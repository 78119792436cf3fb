/**
 * Waiting jobs whose clients watch them, as their mailboxes said. Law: reporting a job's place costs no event of its own: it is found in a
 * turn that runs anyway, in bounded work, and is sent to its mailbox together with those of others there.
 *
 * In memory only: lost with the object, and named again by the mailboxes when they next have reason to.
 */
import { departuresUntil, worthTelling } from "../../policy/position.ts";
import type { Place, WatchWish } from "../../schemas/rpc.ts";
import type { Book, Entry } from "./book.ts";
import { isTooLarge, placeOf } from "./inspect.ts";
import { reckon } from "./reckon.ts";

/** Jobs looked at in a turn, in rotation. Most looks compare two numbers; the most expensive works out a place, some microseconds with many tenants. */
export const LOOKS = 256;

/** `dueAt`: the pool's count of departures at which its place can next be worth telling. */
type Watched = { entry: Entry; told: number | null; dueAt: number };

export class Watching {
  readonly #all = new Map<string, Watched>();
  /** Where the rotation stands: a Map's iterator includes entries added meanwhile, and skips deleted ones. */
  #round = this.#all.values();

  get size(): number {
    return this.#all.size;
  }

  /** From now on the job's place is reported. `told`: what its clients know; `position`: what this very answer says. */
  add(book: Book, job: string, told: number | null, position: number | null): void {
    const entry = book.entries.get(job);
    if (!entry) return;
    const known = position !== null && worthTelling(position, told) ? position : told;
    this.#all.set(job, { entry, told: known, dueAt: position === null || known === null ? 0 : dueAt(book, entry, position, known) });
  }

  has(job: string): boolean {
    return this.#all.has(job);
  }

  forget(job: string): void {
    this.#all.delete(job);
  }

  /** Looks at the next few, and reports the places that are worth it. */
  look(book: Book, now: number): void {
    for (let left = Math.min(LOOKS, this.#all.size); left > 0; left--) {
      const watched = this.#next();
      const { entry } = watched;
      if (entry.waiting && !isTooLarge(book, entry) && book.pools.get(entry.row.pool)!.departed >= watched.dueAt) tell(book, watched, now);
    }
  }

  #next(): Watched {
    const { done, value } = this.#round.next();
    if (!done) return value;
    this.#round = this.#all.values();
    return this.#round.next().value!;
  }
}

/** A mailbox names jobs that are watched from now on, and is told where they stand. */
export function watch(book: Book, wishes: WatchWish[], now: number): (Place | null)[] {
  return wishes.map(({ job, told }) => {
    const place = placeOf(book, job, now);
    if (place) book.watching.add(book, job, told, place.position);
    return place;
  });
}

function tell(book: Book, watched: Watched, now: number): void {
  const { entry } = watched;
  const { job, attempt, mailbox } = entry.row;
  const { position, eta } = reckon(book, entry, entry.waiting!, now);
  if (worthTelling(position, watched.told)) {
    watched.told = position;
    const moves = book.letters.moves.get(mailbox) ?? [];
    moves.push({ job, attempt, position, eta });
    book.letters.moves.set(mailbox, moves);
  }
  watched.dueAt = dueAt(book, entry, position, watched.told!);
}

function dueAt(book: Book, entry: Entry, position: number, told: number): number {
  return book.pools.get(entry.row.pool)!.departed + departuresUntil(position, told);
}
