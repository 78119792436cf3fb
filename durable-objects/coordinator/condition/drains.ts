/**
 * What operators drain: everything, pools or tenants. No new jobs are accepted there; accepted ones go on. Law: once a client was told of a job, that job is
 * never refused for a drain.
 */
import type { Scope } from "../../../schemas/queue.ts";

/** `pool NAME`, `tenant NAME` or `all`, and since when, ms. */
export type DrainRecord = [string, number][];

export class Drains {
  readonly #since = new Map<string, number>();

  restore(record: DrainRecord): void {
    for (const [name, at] of record) this.#since.set(name, at);
  }

  get record(): DrainRecord {
    return [...this.#since];
  }

  begin(scope: Scope, now: number): void {
    if (!this.#since.has(nameOf(scope))) this.#since.set(nameOf(scope), now);
  }

  /** For everything: ends every drain. */
  end(scope: Scope): void {
    if (scope.kind === "all") this.#since.clear();
    else this.#since.delete(nameOf(scope));
  }

  has(scope: Scope): boolean {
    return this.#since.has(nameOf(scope));
  }

  /** Whether a tenant's new jobs in a pool are refused. */
  keepOut(pool: string, tenant: string): boolean {
    if (this.#since.size === 0) return false;
    return this.has({ kind: "all" }) || this.has({ kind: "pool", id: pool }) || this.has({ kind: "tenant", id: tenant });
  }

  get tenants(): string[] {
    return [...this.#since.keys()].filter((name) => name.startsWith("tenant ")).map((name) => name.slice("tenant ".length));
  }
}

function nameOf(scope: Scope): string {
  return scope.kind === "all" ? "all" : `${scope.kind} ${scope.id}`;
}
