/** Operators pause, drain and resume: everything, a pool, or a tenant. Calls under way go on; deadlines and cancellations apply as always. */
import { unhold } from "../../../policy/budget.ts";
import type { Problem } from "../../../schemas/problem.ts";
import type { Lever, Scope } from "../../../schemas/queue.ts";
import type { Book } from "../book.ts";
import { recallAll } from "./recall.ts";

/** Returns what is wrong with the scope, or null. Pausing what is paused changes nothing. */
function pause(book: Book, scope: Scope, now: number): Problem | null {
  const { conditions } = book;
  const problem = unknown(book, scope);
  if (problem) return problem;
  if (scope.kind === "pool") {
    conditions.of(scope.id).pausedAt ??= now;
    conditions.changedPool(scope.id);
  } else {
    if (scope.kind === "all") conditions.pausedAt ??= now;
    else if (!conditions.pausedTenants.has(scope.id)) conditions.pausedTenants.set(scope.id, now);
    conditions.changedLevers();
  }
  conditions.notices.push({ level: "warn", event: "paused", ...named(scope) });
  return null;
}

/** No new jobs are accepted; accepted ones go on. */
function drain(book: Book, scope: Scope, now: number): Problem | null {
  const problem = unknown(book, scope);
  if (problem) return problem;
  book.conditions.drains.begin(scope, now);
  book.conditions.changedDrains();
  book.conditions.notices.push({ level: "warn", event: "draining", ...named(scope) });
  return null;
}

/** A pool that upstream stopped or slowed runs again too: the operator knows better. `all` lifts every pause and drain, whatever its scope. */
function resume(book: Book, scope: Scope, now: number): Problem | null {
  const { conditions } = book;
  const problem = unknown(book, scope);
  if (problem) return problem;
  for (const id of scope.kind === "all" ? book.pools.keys() : scope.kind === "pool" ? [scope.id] : []) {
    const state = conditions.of(id);
    [state.pausedAt, state.stop, state.cut, state.credit, state.silence, state.spent, state.recent.length] = [
      null,
      null,
      null,
      null,
      null,
      null,
      0,
    ];
    state.vain.clear();
    forget(book, id, now);
    conditions.changedPool(id);
    recallAll(book, id, now);
  }
  if (scope.kind === "tenant") conditions.pausedTenants.delete(scope.id);
  if (scope.kind === "all") {
    conditions.pausedAt = null;
    conditions.pausedTenants.clear();
    conditions.retiredInVain = 0;
  }
  if (scope.kind !== "pool") conditions.changedLevers();
  for (const tenant of scope.kind === "tenant" ? [scope.id] : book.tenants.keys()) book.readmit(tenant);
  conditions.drains.end(scope);
  conditions.changedDrains();
  conditions.notices.push({ level: "info", event: "resumed", ...named(scope) });
  return null;
}

/** Drops the silence that upstream asked for and the limits it lowered. What is learned from now on stands. */
function forget(book: Book, id: string, now: number): void {
  const pool = book.pools.get(id)!;
  unhold(pool.budget);
  // The written record includes the silence.
  pool.record = null;
  const learned = book.limits.of(id);
  if (!learned) return;
  learned.reset(pool.budget, now);
  book.limits.changed(id, []);
}

/** What is wrong with a scope, or null. */
export function unknown(book: Book, scope: Scope): Problem | null {
  if (scope.kind === "all") return null;
  if (scope.kind === "pool" ? book.pools.has(scope.id) : knowsTenant(book, scope.id)) return null;
  const message = scope.kind === "pool" ? `No pool "${scope.id}" is configured.` : `No key names a tenant "${scope.id}".`;
  return { status: 404, type: "invalid_request_error", code: `${scope.kind}_not_found`, message, param: scope.kind };
}

/** A tenant whose key was removed may still have jobs, or be paused or drained: it can still be paused and resumed. */
function knowsTenant({ conditions, settings, tenants }: Book, id: string): boolean {
  if (settings.tenants.has(id) || (tenants.get(id)?.queued ?? 0) > 0) return true;
  return conditions.pausedTenants.has(id) || conditions.drains.has({ kind: "tenant", id });
}

function named(scope: Scope): { scope: string; id: string | null } {
  return { scope: scope.kind, id: scope.kind === "all" ? null : scope.id };
}

export const LEVERS: Record<Lever, (book: Book, scope: Scope, now: number) => Problem | null> = { pause, drain, resume };
