/**
 * Jobs that are too large for a limit that upstream lowered. They stand aside, so that nobody waits behind them. Law: where nobody else waits for their pool, the
 * smallest is let go all the same, at a full bucket and as its debt: no answer but a call's tells that the limit is back.
 */
import { neverFits } from "../../policy/budget.ts";
import { poolBudget } from "../../policy/pools.ts";
import type { Book, Entry, Pool } from "./book.ts";

/** Whether the limit was raised meanwhile is looked at again after this. */
const ASIDE_MS = 60_000;

type Group = { readonly since: number; readonly entries: Set<Entry> };

export class Aside {
  readonly #book: Book;
  /** By pool; none is empty. */
  readonly #groups = new Map<string, Group>();

  constructor(book: Book) {
    this.#book = book;
  }

  put(entry: Entry, now: number): void {
    const { row } = entry;
    const group = this.#groups.get(row.pool) ?? { since: now, entries: new Set() };
    group.entries.add(entry);
    this.#groups.set(row.pool, group);
    row.phase = "delayed";
    row.ready_at = now + ASIDE_MS;
    this.#book.delayed.place(entry);
  }

  leave(entry: Entry): void {
    const group = this.#groups.get(entry.row.pool);
    if (group?.entries.delete(entry) && group.entries.size === 0) this.#groups.delete(entry.row.pool);
  }

  /** Since when some of the pool stand here, ms; null if none does. */
  since(pool: string): number | null {
    return this.#groups.get(pool)?.since ?? null;
  }

  /** Whom to let go to find out; null if others wait for the pool, or nobody is here who fits what the operator configured. What waits for its own tenant alone does not count. */
  probe({ id, order }: Pool): Entry | null {
    const group = this.#groups.get(id);
    const config = this.#book.settings.pools[id]!;
    if (!group || order.isWaitedFor || !this.#book.limits.lowered(id, config)) return null;
    const configured = poolBudget(config);
    let smallest: Entry | null = null;
    for (const entry of group.entries) {
      if (smallest && entry.row.tokens >= smallest.row.tokens) continue;
      if (this.#book.conditions.pausedTenants.has(entry.address.tenant)) continue;
      if (!neverFits(configured, entry.row.tokens)) smallest = entry;
    }
    return smallest;
  }
}
