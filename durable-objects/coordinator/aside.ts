/**
 * Jobs too large for a limit that upstream or an operator lowered. They are found as they become next in line and are set aside, so that nobody waits behind
 * them. Law: if nobody else waits for their pool, the smallest is dispatched all the same, at a full bucket, leaving a debt: only a call's answer can tell
 * that the limit is back. A limit that an operator lowered is back when the operator says so.
 *
 * A job that no limit set by the operator could ever hold is not kept here: it ends.
 */
import { beyondPool } from "../../policy/admission.ts";
import { neverFits, wholeTokens } from "../../policy/budget.ts";
import { RankedHeap } from "../../policy/heap.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Book, Entry, Pool } from "./book.ts";
import type { Rested } from "./resting.ts";

/** Of one tenant, smallest first. */
type Shelf = { readonly entries: RankedHeap<Entry>; readonly runs: RankedHeap<Rested> };
/** Of one pool. `whole`: the most tokens that a call could reserve when last checked; everything here is larger. */
type Group = { readonly since: number; readonly shelves: Map<string, Shelf>; whole: number };

export class Aside {
  readonly #book: Book;
  /** By pool; no group is empty. */
  readonly #groups = new Map<string, Group>();
  /** Jobs that must end, because no limit would ever hold them. */
  readonly lost: Entry[] = [];
  /** How many of the jobs set aside are in memory. */
  awake = 0;

  constructor(book: Book) {
    this.#book = book;
  }

  put(entry: Entry, now: number): void {
    const { address, row } = entry;
    const pool = this.#book.pools.get(row.pool)!;
    if (beyondBounds(pool, row.tokens)) {
      this.lost.push(entry);
      return;
    }
    this.#shelf(pool, address.tenant, now).entries.place(entry);
    this.awake++;
  }

  has(entry: Entry): boolean {
    return entry.slots.aside >= 0;
  }

  leave(entry: Entry): void {
    if (!this.has(entry)) return;
    const { address, row } = entry;
    this.#groups.get(row.pool)!.shelves.get(address.tenant)!.entries.remove(entry);
    this.awake--;
    this.#sweep(row.pool, address.tenant);
  }

  /** Whether a resting run belongs here: all of it is too large, for now. */
  wants({ budget, greatest }: Pool, smallest: number): boolean {
    return neverFits(budget, smallest) !== null && neverFits(greatest, smallest) === null;
  }

  putRun(pool: Pool, run: Rested, now: number): void {
    run.isAside = true;
    this.#shelf(pool, run.tenant, now).runs.place(run);
  }

  leaveRun(run: Rested): void {
    run.isAside = false;
    this.#groups.get(run.pool)!.shelves.get(run.tenant)!.runs.remove(run);
    this.#sweep(run.pool, run.tenant);
  }

  /** The pool's jobs here that are in memory. */
  *entries(pool: Pool): Iterable<Entry> {
    for (const { entries } of this.#groups.get(pool.id)?.shelves.values() ?? []) yield* entries;
  }

  /** A limit may have been raised: jobs that fit now go back in line. */
  release(pool: Pool, now: number): void {
    const group = this.#groups.get(pool.id);
    if (!group) return;
    const before = group.whole;
    group.whole = wholeTokens(pool.budget);
    if (group.whole <= before) return;
    for (const { entries, runs } of [...group.shelves.values()]) {
      for (let entry = entries.peek(); entry && entry.row.tokens <= group.whole; entry = entries.peek()) this.#book.line(entry);
      for (let run = runs.peek(); run && run.smallest <= group.whole; run = runs.peek()) {
        this.leaveRun(run);
        this.#book.resting.lineUp(pool, run, now);
      }
    }
  }

  /** Since when the pool has had jobs here, ms; null if it has none. */
  since(pool: string): number | null {
    return this.#groups.get(pool)?.since ?? null;
  }

  /** The job to dispatch as a probe; null if others wait for the pool, or no job here may go. Waiting only for one's own tenant's limit does not count. */
  probe({ bound, id, order }: Pool, now: number): Entry | null {
    const group = this.#groups.get(id);
    if (!group || order.isWaitedFor) return null;
    let least: Shelf | null = null;
    for (const [tenant, shelf] of group.shelves) {
      if (this.#book.conditions.pausedTenants.has(tenant)) continue;
      if (!least || sizeOf(shelf) < sizeOf(least)) least = shelf;
    }
    // An operator's own limit needs no probe.
    if (!least || neverFits(bound, sizeOf(least))) return null;
    const run = least.runs.peek();
    if (run && run.smallest < (least.entries.peek()?.row.tokens ?? Number.POSITIVE_INFINITY)) this.#book.resting.wake(run, now);
    return least.entries.peek() ?? null;
  }

  #shelf(pool: Pool, tenant: string, now: number): Shelf {
    const group = this.#groups.get(pool.id) ?? { since: now, shelves: new Map(), whole: wholeTokens(pool.budget) };
    this.#groups.set(pool.id, group);
    const shelf = group.shelves.get(tenant) ?? { entries: openEntries(), runs: openRuns() };
    group.shelves.set(tenant, shelf);
    return shelf;
  }

  /** Drops the shelf and the group if they are empty. */
  #sweep(pool: string, tenant: string): void {
    const { shelves } = this.#groups.get(pool)!;
    const { entries, runs } = shelves.get(tenant)!;
    if (entries.size + runs.size === 0) shelves.delete(tenant);
    if (shelves.size === 0) this.#groups.delete(pool);
  }
}

/** What is wrong with a job of this many tokens, if no limit that the operator set for its pool could ever hold it. */
export function beyondBounds({ greatest, id }: Pool, tokens: number): Problem | null {
  const meter = neverFits(greatest, tokens);
  return meter && beyondPool(id, tokens, meter);
}

/** The most tokens that a request to a pool may reserve; Infinity if they have no limit, 0 if there is no such pool. */
export function mostTokens(book: Book, pool: string): number {
  const found = book.pools.get(pool);
  return found ? wholeTokens(found.greatest) : 0;
}

function sizeOf({ entries, runs }: Shelf): number {
  return Math.min(entries.peek()?.row.tokens ?? Number.POSITIVE_INFINITY, runs.peek()?.smallest ?? Number.POSITIVE_INFINITY);
}

function openEntries(): RankedHeap<Entry> {
  return new RankedHeap<Entry>(
    ({ row }) => row.tokens,
    ({ slots }) => slots.aside,
    ({ slots }, place) => {
      slots.aside = place;
    },
  );
}

function openRuns(): RankedHeap<Rested> {
  return new RankedHeap<Rested>(
    ({ smallest }) => smallest,
    ({ shelved }) => shelved,
    (run, place) => {
      run.shelved = place;
    },
  );
}
