/** What the coordinator can say of itself: where a job stands, and the whole queue, counted. */
import { free, neverFits, used } from "../../policy/budget.ts";
import { eta, inSeconds } from "../../policy/eta.ts";
import { isBatches } from "../../policy/flow.ts";
import { toldFailure } from "../../policy/last-failure.ts";
import { setOf } from "../../policy/tuning.ts";
import type { LastFailure } from "../../schemas/job.ts";
import type { PoolState, QueueState } from "../../schemas/queue.ts";
import type { Place, Unlined } from "../../schemas/rpc.ts";
import type { Book, Entry, Pool } from "./book.ts";
import { shown } from "./condition/shown.ts";
import { burstInForce, inForce } from "./limits.ts";
import { reckon } from "./reckon.ts";
import type { Rested } from "./resting.ts";
import type { TicketRow } from "./store/store.ts";
import { sinceOf } from "./waiting.ts";

/** Null if the coordinator holds no ticket of that job, or only a verdict to deliver. */
export function placeOf(book: Book, job: string, now: number): Place | null {
  const entry = book.find(job, now);
  if (!entry || entry.row.phase === "ending") return null;
  const place = standingPlace(book, entry, now);
  const failure = failureTold(entry);
  return failure ? { ...place, failure } : place;
}

/** The last failure of a job that has not ended; undefined if there was none. */
export function failureTold({ row }: Entry): LastFailure | undefined {
  return row.failure && toldFailure(row.failure, row.phase === "delayed" ? row.ready_at : null);
}

function standingPlace(book: Book, entry: Entry, now: number): Place {
  const { row, waiting } = entry;
  if (row.phase === "leased") {
    const held = { attempt: row.attempt, dispatcher: row.dispatcher!, startedAt: entry.leasedAt };
    return { state: "running", position: null, eta: null, held };
  }
  // Nobody knows how long it will wait.
  if (row.phase === "waiting" && (!waiting || isTooLarge(book, entry))) return { state: "waiting", position: null, eta: null };
  if (row.phase === "delayed" || !waiting) {
    if (isScheduled(row)) return { state: "scheduled", position: null, eta: eta(row.ready_at - now, "scheduled") };
    const stopped = shown(book, book.pools.get(row.pool)!, now).state;
    const limitedBy = stopped === "normal" || stopped === "slowed" ? "retry" : "paused";
    return { state: "waiting", position: null, eta: eta(row.ready_at - now, limitedBy) };
  }
  const { position, eta: expected } = reckon(book, entry, waiting, now);
  return { state: "waiting", position, eta: expected, attempt: row.attempt };
}

/**
 * Where these jobs stand, in order; with `state`, only those in that state. Listing a long channel asks for every job that waits there, and in a pool that
 * stands still no turn comes that would put them back to rest. When only running or scheduled jobs are asked for, none of the others are woken or estimated:
 * for 40,000 of them that took 5 s, in which nothing else was decided.
 */
export function locate(book: Book, jobs: string[], state: Unlined | undefined, now: number): (Place | null)[] {
  if (state) return jobs.map((job) => (isIn(book.entries.get(job), state) ? placeOf(book, job, now) : null));
  const places = jobs.map((job) => placeOf(book, job, now));
  book.resting.restAgain();
  return places;
}

/** A resting job is in neither state. */
function isIn(entry: Entry | undefined, state: Unlined): boolean {
  if (!entry) return false;
  return state === "running" ? entry.row.phase === "leased" : isScheduled(entry.row);
}

/** The client's own `not_before` is still to come. A job that was called before is queued, whatever it waits for. */
function isScheduled({ attempt, phase }: TicketRow): boolean {
  return phase === "delayed" && attempt === 0;
}

/** Whether its pool cannot hold it as things are: it is set aside, or will be when its turn comes. */
export function isTooLarge(book: Book, { row }: Entry): boolean {
  return row.phase === "waiting" && neverFits(book.pools.get(row.pool)!.budget, row.tokens) !== null;
}

/** Where a job stood as it came in: one that could start at once was next, and waited for nothing. */
export function placeAtEntry(book: Book, job: string, now: number): Place {
  const place = placeOf(book, job, now);
  if (place && place.state !== "running") return place;
  return { state: "waiting", position: 1, eta: eta(0, "none"), ...(place?.held && { held: place.held }) };
}

export function inspect(book: Book, now: number): QueueState {
  const states = new Map([...book.pools.values()].map((pool) => [pool.id, openState(book, pool, now)]));
  for (const entry of book.entries.values()) count(book, states.get(entry.row.pool)!, entry, now);
  for (const run of book.resting.runs) countRested(book, states.get(run.pool)!, run, now);
  const { drains, pausedAt, pausedTenants } = book.conditions;
  const { pools, tenants } = book.tunings.all;
  return {
    object: "queue",
    paused: pausedAt !== null,
    paused_tenants: [...pausedTenants.keys()],
    draining: drains.has({ kind: "all" }),
    draining_tenants: drains.tenants,
    overrides: { pools, tenants },
    pools: [...states.values()].map(closeState),
  };
}

type TenantCount = PoolState["tenants"][number];
type Counting = PoolState & { byTenant: Map<string, TenantCount>; byPriority: Map<number, number> };

function openState(book: Book, pool: Pool, now: number): Counting {
  const { budget } = pool;
  const condition = shown(book, pool, now);
  const foreign = book.limits.of(pool.id)?.others(now) ?? { requests: 0, tokens: 0 };
  const bursts = burstInForce(book, pool.id);
  return {
    id: pool.id,
    depth: 0,
    in_flight: 0,
    scheduled: 0,
    oldest_wait_seconds: 0,
    paused: condition.state !== "normal" && condition.state !== "slowed",
    condition,
    draining: book.conditions.drains.has({ kind: "all" }) || book.conditions.drains.has({ kind: "pool", id: pool.id }),
    limits: inForce(book, pool.id),
    overrides: setOf(book.tunings.all.pools, pool.id) ?? {},
    burst_seconds: { requests: inSeconds(bursts.requests * 1_000), tokens: inSeconds(bursts.tokens * 1_000) },
    used: { requests: begun(used(budget, "rpm", now)), tokens: begun(used(budget, "tpm", now)) },
    used_day: { requests: begun(used(budget, "rpd", now)), tokens: begun(used(budget, "tpd", now)) },
    free: { requests: whole(free(budget, "rpm", now)), tokens: whole(free(budget, "tpm", now)) },
    foreign: { requests: Math.round(foreign.requests), tokens: Math.round(foreign.tokens) },
    ended: Object.fromEntries(pool.ended),
    estimates: book.estimates.shown(pool.id),
    call_seconds: inSeconds(pool.callMs),
    tenants: [],
    priorities: [],
    doubts: book.doubts.shown(pool.id),
    byTenant: new Map(),
    byPriority: new Map(),
  };
}

/** How far a bucket's own arithmetic may be off, in units. */
const ROUNDING = 5e-7;

/** A request counts as spent until all of it is back, and as free only then. */
function begun(amount: number): number {
  return Math.max(0, Math.ceil(amount - ROUNDING));
}

function whole(amount: number): number {
  return Math.floor(amount + ROUNDING);
}

function count(book: Book, state: Counting, entry: Entry, now: number): void {
  const { row, address } = entry;
  if (row.phase === "ending") return;
  const tenant = countOf(book, state, address.tenant);
  if (row.phase === "leased") {
    state.in_flight++;
    tenant.in_flight++;
  } else if (isScheduled(row)) {
    state.scheduled++;
  } else {
    countWaiting(state, tenant, [[row.priority, 1]], sinceOf(row), now);
    countTokens(tenant, { flow: entry.flow, size: 1, tokens: row.tokens });
  }
}

function countRested(book: Book, state: Counting, run: Rested, now: number): void {
  const tenant = countOf(book, state, run.tenant);
  countWaiting(state, tenant, run.priorities, run.since, now);
  countTokens(tenant, run);
}

function countTokens(tenant: TenantCount, { flow, size, tokens }: { flow: string; size: number; tokens: number }): void {
  tenant.tokens += tokens;
  if (!isBatches(flow)) return;
  tenant.batches.depth += size;
  tenant.batches.tokens += tokens;
}

function countOf(book: Book, { byTenant }: Counting, id: string): TenantCount {
  let tenant = byTenant.get(id);
  if (!tenant) {
    const { weight } = book.tenant(id);
    tenant = { id, depth: 0, tokens: 0, batches: { depth: 0, tokens: 0 }, in_flight: 0, weight, oldest_wait_seconds: 0 };
    byTenant.set(id, tenant);
  }
  return tenant;
}

/** Adds this many jobs of each priority; the first of them has waited since then (ms). */
function countWaiting(state: Counting, tenant: TenantCount, priorities: [number, number][], since: number, now: number): void {
  const waited = inSeconds(Math.max(0, now - since));
  for (const each of [state, tenant]) each.oldest_wait_seconds = Math.max(each.oldest_wait_seconds, waited);
  for (const [priority, depth] of priorities) {
    for (const each of [state, tenant]) each.depth += depth;
    state.byPriority.set(priority, (state.byPriority.get(priority) ?? 0) + depth);
  }
}

function closeState({ byTenant, byPriority, ...state }: Counting): PoolState {
  return {
    ...state,
    tenants: [...byTenant.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    priorities: [...byPriority].map(([priority, depth]) => ({ priority, depth })).sort((a, b) => b.priority - a.priority),
  };
}
