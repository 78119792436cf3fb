/**
 * Operators set limits and weights on top of the configuration. Law: a book knows one set of limits from its beginning. A change is written together with all
 * that was spent, and the object then restarts, as after a deployment with that configuration: there is no second way in which limits change.
 */
import { tenantOf } from "../../platform/settings.ts";
import { setOf } from "../../policy/tuning.ts";
import type { Refused } from "../../schemas/problem.ts";
import type { PoolTuned } from "../../schemas/queue.ts";
import type { TenantState, Tune } from "../../schemas/tuning.ts";
import type { Book } from "./book.ts";
import { unknown } from "./condition/levers.ts";
import { inspect } from "./inspect.ts";
import type { Rounds } from "./rounds.ts";

/** The pool or tenant as it is in force. If something changes, the answer comes once the restarted object is asked again. */
export async function tune(book: Book, rounds: Rounds, wish: Tune, now: number): Promise<PoolTuned | TenantState | Refused> {
  const { id, kind } = wish;
  // What no longer exists can still be reset.
  const isKnown = overridesOf(book, wish) || book.tunings.all.wishes.includes(wish.wish);
  const problem = isKnown ? null : unknown(book, { kind, id });
  if (problem) return { ok: false, problem };
  const changes = rounds.turn(() => change(book, wish));
  // A caller that asks while another wish takes effect waits for that restart.
  if (changes || book.isLast) await rounds.renew(`The limits of the ${kind} "${id}" were changed.`);
  return tuned(book, wish, now);
}

/** Returns whether anything changes; this book stays as it was. */
function change(book: Book, wish: Tune): boolean {
  const { id, kind, reset, set } = wish;
  if (!book.tunings.set(wish)) return false;
  book.conditions.notices.push({ level: "info", event: "tuned", scope: kind, id, reset, ...(set as Facts) });
  return true;
}

type Facts = Record<string, number | null>;

function overridesOf({ tunings }: Book, { id, kind }: Pick<Tune, "id" | "kind">): object | undefined {
  return setOf<object>(kind === "pool" ? tunings.all.pools : tunings.all.tenants, id);
}

/** The pool or the tenant, as it is in force. */
function tuned(book: Book, { id, kind }: Tune, now: number): PoolTuned | TenantState {
  const overrides = overridesOf(book, { id, kind }) ?? {};
  const pool = kind === "pool" && inspect(book, now).pools.find((each) => each.id === id);
  if (kind === "pool") return pool ? { object: "pool", ...pool } : { object: "pool", id, overrides };
  const { maxQueued: max_queued, queued, weight } = book.tenant(id);
  const { rpm, tpm } = tenantOf(book.settings, id);
  return { object: "tenant", id, weight, rpm, tpm, max_queued, queued, overrides };
}
