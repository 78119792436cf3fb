/**
 * Calls of unknown outcome, and those that were repeated: what may have been paid for twice, by pool and tenant. Law: counted in the
 * commit that ends the call, one row per pool and tenant that has any.
 */
import type { Doubts } from "../../schemas/queue.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import type { CoordinatorStore, TicketRow } from "./store/store.ts";

const NONE: Doubts = { unknown_outcomes: 0, possible_duplicates: 0, possible_duplicate_tokens: 0 };

export class DoubtBook {
  readonly #pools = new Map<string, Map<string, Doubts>>();
  readonly #changed = new Map<string, Set<string>>();

  restore(store: CoordinatorStore): void {
    for (const { pool, tenant, counts } of store.doubts()) this.#of(pool).set(tenant, counts);
  }

  /** A call that was made has ended. `row.doubt` still says whether the one before it had an unknown outcome; if so, this one repeated it. */
  count(tenant: string, row: TicketRow, outcome: Outcome): void {
    const repeats = row.doubt === 1;
    const unknown = outcome.kind === "retryable" && outcome.unknown;
    if (!repeats && !unknown) return;
    const counts = { ...(this.#of(row.pool).get(tenant) ?? NONE) };
    if (unknown) counts.unknown_outcomes++;
    if (repeats) {
      counts.possible_duplicates++;
      counts.possible_duplicate_tokens += row.tokens;
    }
    this.#of(row.pool).set(tenant, counts);
    this.#changed.set(row.pool, (this.#changed.get(row.pool) ?? new Set()).add(tenant));
  }

  /** For one pool: the sum, and by tenant. */
  shown(pool: string): Doubts & { tenants: ({ id: string } & Doubts)[] } {
    const tenants = [...this.#of(pool)].map(([id, counts]) => ({ id, ...counts })).sort((a, b) => (a.id < b.id ? -1 : 1));
    const sum = (of: keyof Doubts) => tenants.reduce((total, each) => total + each[of], 0);
    return {
      unknown_outcomes: sum("unknown_outcomes"),
      possible_duplicates: sum("possible_duplicates"),
      possible_duplicate_tokens: sum("possible_duplicate_tokens"),
      tenants,
    };
  }

  write(store: CoordinatorStore): void {
    if (this.#changed.size === 0) return;
    for (const [pool, tenants] of this.#changed) for (const tenant of tenants) store.putDoubts(pool, tenant, this.#of(pool).get(tenant)!);
    this.#changed.clear();
  }

  #of(pool: string): Map<string, Doubts> {
    let tenants = this.#pools.get(pool);
    if (!tenants) {
      tenants = new Map();
      this.#pools.set(pool, tenants);
    }
    return tenants;
  }
}
