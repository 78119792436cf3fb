/** Budget and order decide what starts now. Nothing that fits is left waiting; nothing that does not fit starts. */
import { delayMs, dominantMs, leaveBy, neverFits, readiness, readyBesideAt, reserve } from "../../policy/budget.ts";
import { isBatches } from "../../policy/flow.ts";
import type { Answer, Gate } from "../../policy/gate.ts";
import type { Kind } from "../../policy/lane.ts";
import type { Order } from "../../policy/order.ts";
import { idleKind, type Line } from "../../policy/packing.ts";
import { place } from "../../policy/placement.ts";
import type { Waiting } from "../../policy/queue.ts";
import { turns } from "../../policy/vain.ts";
import type { Lease } from "../../schemas/rpc.ts";
import type { Book, Pool } from "./book.ts";
import type { PoolState } from "./condition/conditions.ts";
import { begun, heldBack, isProbe, isProbeDue, refresh } from "./condition/gate.ts";
import { mayAsk } from "./late.ts";
import { askAt, started } from "./limits.ts";
import { entryOf, lined } from "./waiting.ts";

/** Most jobs set aside as too large in one turn, to keep turns short. */
const ASIDE_MOST = 2_000;
const NO_ORDERS: readonly Order[] = [];

export function admit(book: Book, now: number): void {
  if (book.isLast) return;
  book.readmitDue(now);
  const late: Pool[] = [];
  for (const pool of book.pools.values()) {
    pool.wakeAt = Number.POSITIVE_INFINITY;
    refresh(book, pool, now);
    book.aside.release(pool, now);
    pass(book, pool, late, now);
  }
  for (const pool of late) pass(book, pool, null, now);
}

/** `late` collects the pools to pass over again once every pool's live work has been asked; null in that second pass. */
function pass(book: Book, pool: Pool, late: Pool[] | null, now: number): void {
  const gate = new PoolGate(book, pool, late, now);
  if (isProbeDue(book, pool, now)) startUntried(book, pool, gate, now);
  start(book, pool, gate, now);
  if (!late?.includes(pool)) probe(book, pool, gate, now);
}

function start(book: Book, pool: Pool, gate: Gate, now: number): void {
  for (let next = pool.order.next(gate); next; next = pool.order.next(gate)) lease(book, pool, next, now);
}

/** Starts a probe of a tenant that was not refused last, if one waits: one that was refused would find out nothing new. */
function startUntried(book: Book, pool: Pool, gate: Gate, now: number): void {
  const { vain } = book.conditions.of(pool.id);
  const skipped = new Set<string>();
  const untried: Gate = {
    starts: (waiting, ahead) => {
      if (!vain.has(waiting.tenant)) return gate.starts(waiting, ahead);
      skipped.add(waiting.flow);
      return "lane";
    },
    costMs: (waiting, tokens) => gate.costMs(waiting, tokens),
    delayMs: (waiting, resource, head) => gate.delayMs(waiting, resource, head),
    idle: (head, line) => gate.idle(head, line),
    now,
  };
  start(book, pool, untried, now);
  // Only in this pool: when the tenant is asked again in others does not change.
  for (const flow of skipped) pool.order.readmit(flow);
}

/** If nobody else waits for the pool, a job too large for a lowered limit finds out whether the limit still holds. */
function probe(book: Book, pool: Pool, gate: Gate, now: number): void {
  const entry = book.aside.probe(pool, now);
  if (!entry) return;
  const waiting = lined(entry);
  if (mayStart(book, pool, waiting, now) !== "start") return;
  pool.order.charge(waiting, gate);
  book.aside.leave(entry);
  lease(book, pool, waiting, now);
}

/** How many turns the tenant's next call takes, given how many in a row came to nothing. */
function turnsOf(book: Book, pool: Pool, tenant: string): number {
  return turnsIn(book.conditions.of(pool.id), tenant);
}

function turnsIn({ vain }: PoolState, tenant: string): number {
  return vain.size === 0 ? 1 : turns(vain.get(tenant)?.times ?? 0);
}

/** What the order may ask of the budget, for one turn. */
class PoolGate implements Gate {
  readonly #book: Book;
  readonly #pool: Pool;
  readonly #state: PoolState;
  readonly #late: Pool[] | null;
  readonly now: number;
  #left = ASIDE_MOST;

  constructor(book: Book, pool: Pool, late: Pool[] | null, now: number) {
    this.#book = book;
    this.#pool = pool;
    this.#state = book.conditions.of(pool.id);
    this.#late = late;
    this.now = now;
  }

  starts(waiting: Waiting, ahead = false): Answer {
    const book = this.#book;
    const pool = this.#pool;
    const now = this.now;
    // The tenant's own limit may be meant for live work that is yet to be asked. The batch keeps its turn until then: if it were skipped, nothing would be
    // left for it in a pool that others keep busy.
    if (this.#late && liveLanes(book, waiting).some((order) => order !== pool.order)) {
      if (!this.#late.includes(pool)) this.#late.push(pool);
      return "pool";
    }
    if (!neverFits(pool.budget, waiting.tokens)) return mayStart(book, pool, waiting, now);
    if (ahead) return "aside";
    if (this.#left-- > 0) {
      book.setAside(entryOf(waiting), now);
      return "aside";
    }
    pool.wakeAt = Math.min(pool.wakeAt, now + 1);
    return "pool";
  }

  costMs({ tenant, tokens: reserved }: Waiting, tokens = reserved): number {
    const times = turnsIn(this.#state, tenant);
    // What accepted calls use says nothing about one that will be refused: upstream counts its whole reservation.
    return times > 1 ? times * dominantMs(this.#pool.budget, reserved) : dominantMs(this.#pool.budget, tokens);
  }

  delayMs({ tokens }: Waiting, resource: Kind, head: Waiting): number {
    return delayMs(this.#pool.budget, resource, head.tokens, tokens, this.now);
  }

  idle({ tokens: head }: Waiting, { large, small }: Pick<Line, "large" | "small">): Kind | null {
    const { budget, order, waitingTokens } = this.#pool;
    return idleKind(budget, { head, mean: waitingTokens / Math.max(1, order.size), large, small }, this.now);
  }
}

/** Reserves its cost if the job may start. */
function mayStart(book: Book, pool: Pool, waiting: Waiting, now: number): Answer {
  const answer = obstacle(book, pool, waiting, now);
  if (answer) return answer;
  reserve(book.spending(waiting.tenant), waiting.tokens, now);
  entryOf(waiting).reservation = reserve(pool.budget, waiting.tokens, now);
  started(book, pool, waiting.tokens, now);
  begun(book, pool, waiting, now);
  return "start";
}

/** Null if the job may start; otherwise what holds it. Notes when to look again. */
function obstacle(book: Book, pool: Pool, waiting: Waiting, now: number): Answer | null {
  const tenant = book.tenant(waiting.tenant);
  const held = heldBack(book, pool, waiting, now);
  if (held) {
    if (held.answer === "lane") book.keep(tenant, held.at);
    else pool.wakeAt = Math.min(pool.wakeAt, held.at);
    return held.answer;
  }
  const flow = readiness(pool.budget, waiting.tokens, now);
  const at = flow.at > now ? Math.min(flow.at, askAt(book, pool, waiting.tokens, now)) : now;
  if (at > now) {
    pool.wakeAt = Math.min(pool.wakeAt, at);
    if (flow.limitedBy === "rpm" || flow.limitedBy === "rpd") return "requests";
    return flow.limitedBy === "tpm" || flow.limitedBy === "tpd" ? "tokens" : "pool";
  }
  if (tenant.budget.meters.length === 0) return null;
  const ownAt = Math.max(readiness(tenant.budget, waiting.tokens, now).at, liveAt(book, waiting, now));
  if (ownAt > now) {
    book.keep(tenant, ownAt);
    return "lane";
  }
  return null;
}

/**
 * When a batch line may start and still leave, of its tenant's own cap, what the live work of any pool waits for. Otherwise small lines would take
 * from it whenever such a pool has no room for a moment.
 */
function liveAt(book: Book, waiting: Waiting, now: number): number {
  const { budget } = book.tenant(waiting.tenant);
  let at = now;
  for (const { lanes } of liveLanes(book, waiting)) {
    const live = lanes.get(waiting.tenant)!;
    at = Math.max(at, readyBesideAt(budget, waiting.tokens, live.first(live.nextKind())!.tokens, now));
  }
  return at;
}

/** The orders in which live work waits that shares its tenant's own limit with this batch line. */
function liveLanes(book: Book, { flow, tenant }: Waiting): readonly Order[] {
  if (!isBatches(flow) || book.tenant(tenant).budget.meters.length === 0) return NO_ORDERS;
  return [...book.pools.values()].map(({ order }) => order).filter(({ lanes }) => (lanes.get(tenant)?.awake ?? 0) > 0);
}

function lease(book: Book, pool: Pool, waiting: Waiting, now: number): void {
  const entry = entryOf(waiting);
  const { row } = entry;
  const { competed, keeps, tokens } = pool.order.charged(waiting);
  const charged = turnsOf(book, pool, waiting.tenant) > 1 ? row.tokens : tokens;
  row.charged = [charged, dominantMs(pool.budget, charged), keeps, competed];
  book.taken(entry, now);
  pool.expectations.started(entry, now);
  const post = place(book.fleet, now);
  row.phase = "leased";
  row.dispatcher = post.name;
  row.attempt++;
  row.first_started_at ??= now;
  book.hold(entry, now);
  book.dirty.add(entry);
  const letters = book.fresh.has(entry) ? book.letters.ahead : book.letters.starts;
  const leases = letters.get(post.name) ?? [];
  const { attempt, job, unknown, waits } = row;
  const by = mayAsk(book, entry) ? leaveBy(pool.budget, now) : Number.POSITIVE_INFINITY;
  const lease: Lease = { job, mailbox: entry.address, attempt, waits, unknown };
  if (isProbe(book, entry)) lease.probe = true;
  if (by < Number.POSITIVE_INFINITY) lease.leaveBy = by;
  leases.push(lease);
  letters.set(post.name, leases);
}
