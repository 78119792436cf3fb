/** What upstream's headers teach about the pools' limits: followed in the budgets, written down, and reported as they change. */
import type { Notice } from "../../platform/telemetry.ts";
import type { Change, LimitChange } from "../../policy/bounds.ts";
import type { Budget } from "../../policy/budget.ts";
import type { Learned } from "../../policy/learned.ts";
import { burstOf, learnedOf } from "../../policy/pools.ts";
import type { QueueState } from "../../schemas/queue.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type { PoolsConfig } from "../../schemas/settings.ts";
import type { Book, Entry, Pool } from "./book.ts";
import type { CoordinatorStore } from "./store/store.ts";

const NOBODY: ReadonlySet<string> = new Set();

export class LimitBook {
  readonly #learned = new Map<string, Learned>();
  /** Pools whose limits changed in this turn. */
  readonly #changed = new Set<string>();
  /** To be reported after the turn. */
  readonly notices: Notice[] = [];

  /** At wake: restores what was learned. */
  open(pools: PoolsConfig, budgetOf: (pool: string) => Budget, store: CoordinatorStore, now: number, leaveAtOnce: number): void {
    for (const [id, config] of Object.entries(pools)) {
      const learned = learnedOf(config, now, leaveAtOnce);
      if (learned) this.#learned.set(id, learned);
    }
    for (const { pool, limits } of store.limits()) this.#learned.get(pool)?.restore(limits, budgetOf(pool), now);
  }

  /** Null if the pool's limits stay as configured, whatever headers say. */
  of(pool: string): Learned | null {
    return this.#learned.get(pool) ?? null;
  }

  changed(pool: string, notices: Notice[]): void {
    this.#changed.add(pool);
    this.notices.push(...notices);
  }

  write(store: CoordinatorStore): void {
    if (this.#changed.size === 0) return;
    for (const pool of this.#changed) store.putLimits(pool, this.#learned.get(pool)!.record());
    this.#changed.clear();
  }
}

/** A pool's limits in force: as configured, or as upstream has them since. */
export function inForce(book: Book, pool: string): QueueState["pools"][number]["limits"] {
  const { rpm, tpm, rpd, tpd, concurrency } = book.settings.pools[pool]!;
  return { rpm, tpm, rpd, tpd, concurrency, ...book.limits.of(pool)?.limits };
}

/** How much of a pool's per-minute limits may be spent at once, seconds. */
export function burstInForce(book: Book, pool: string): QueueState["pools"][number]["burst_seconds"] {
  const bursts = book.limits.of(pool)?.bursts;
  const configured = burstOf(book.settings.pools[pool]!);
  return bursts ? { requests: bursts.seconds("requests"), tokens: bursts.seconds("tokens") } : { requests: configured, tokens: configured };
}

/**
 * Takes in what answers said. Readings of a pool that is gone teach nothing. `refused`: jobs whose calls were refused for the rate, for the first time; a job
 * that is refused again says nothing about the others.
 */
export function read(book: Book, readings: readonly PoolReading[], now: number, refused: ReadonlySet<string> = NOBODY): void {
  for (const reading of readings) {
    const pool = book.pools.get(reading.pool);
    const learned = book.limits.of(reading.pool);
    if (!pool || !learned) continue;
    const lease = book.entries.get(reading.job);
    const call = lease?.row.phase === "leased" ? { at: lease.reservation?.at ?? lease.leasedAt, tokens: lease.row.tokens } : null;
    followed(book, pool, learned.take(reading, call, pool.budget, now, refused.has(reading.job)));
  }
}

/** Follows, before anything starts, what was told of a pool's limits and denied by nobody. */
export function believe(book: Book, pool: Pool, now: number): void {
  followed(book, pool, book.limits.of(pool.id)?.believe(pool.budget, now) ?? []);
}

function followed(book: Book, pool: Pool, changes: Change[]): void {
  if (changes.length > 0 || book.limits.of(pool.id)?.isNotable) report(book, pool, changes);
}

/** A call of this many tokens is dispatched. */
export function started(book: Book, pool: Pool, tokens: number, now: number): void {
  const learned = book.limits.of(pool.id);
  const changes = learned?.started(pool.budget, tokens, now) ?? [];
  if (changes.length > 0 || learned?.isNotable) report(book, pool, changes);
}

/** When a call of this many tokens may go although a limit holds it, ms: upstream may no longer apply it. Infinity: only when the limit allows. */
export function askAt(book: Book, pool: Pool, tokens: number, now: number): number {
  const learned = book.limits.of(pool.id);
  return learned?.isInDoubt ? learned.readyAt(pool.budget, tokens, now) : Number.POSITIVE_INFINITY;
}

/** Whether a call dispatched just now finds out what nothing else tells. */
export function sees(book: Book, { reservation, row }: Entry): boolean {
  return reservation?.at !== undefined && book.limits.of(row.pool)?.sees(reservation.at) === true;
}

/** Upstream took the entry's call. */
export function wasTaken(book: Book, { reservation, row }: Entry, now: number): void {
  if (reservation?.at !== undefined) book.limits.of(row.pool)?.taken(reservation.at, book.pools.get(row.pool)!.budget, now);
}

/** A call dispatched at `startedAt` (ms) was answered. Its headers were read before. */
export function answered(book: Book, pool: Pool, startedAt: number | undefined): void {
  const changes = startedAt === undefined ? [] : (book.limits.of(pool.id)?.days.answered(pool.budget, startedAt) ?? []);
  if (changes.length > 0) report(book, pool, changes);
}

/** The entry's call was taken; what its headers told was read before. */
export function untold(book: Book, { reservation, row }: Entry): void {
  const learned = book.limits.of(row.pool);
  if (reservation?.at !== undefined) learned?.untold(reservation.at);
  if (learned?.isNotable) report(book, book.pools.get(row.pool)!, []);
}

function report(book: Book, { id }: Pool, changes: Change[]): void {
  book.limits.changed(
    id,
    changes.map((change) => noticeOf(id, change)),
  );
}

function noticeOf(pool: string, change: Change): Notice {
  if ("burst" in change) {
    const { burst: resource, from, to } = change;
    const seconds = (exact: number) => Math.round(exact * 100) / 100;
    return { level: to < from ? "warn" : "info", event: "burst_learned", pool, resource, from: seconds(from), to: seconds(to) };
  }
  const rounded = (limit: number | null) => (limit === null ? null : Math.round(limit));
  const { from, resource, to } = change;
  const [level, event] = isLowered(change) ? (["warn", "limit_lowered"] as const) : (["info", "limit_raised"] as const);
  return { level, event, pool, resource, from: rounded(from), to: rounded(to) };
}

function isLowered({ from, to }: LimitChange): boolean {
  return orNone(to) < orNone(from);
}

function orNone(limit: number | null): number {
  return limit ?? Number.POSITIVE_INFINITY;
}
