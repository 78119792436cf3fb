/**
 * The coordinator's memory: every ticket, and the order, budget and fleet that decide about them. A cache of SQLite,
 * rebuilt at wake. Steps change it and note what to write and whom to tell; the class then writes and tells.
 */
import { type Settings, type Tenant, tenantOf } from "../../platform/settings.ts";
import { type Budget, dominantKind, openBudget } from "../../policy/budget.ts";
import { flowOf, weightOfFlow } from "../../policy/flow.ts";
import { RankedHeap } from "../../policy/heap.ts";
import { Order } from "../../policy/order.ts";
import { type Fleet, leaveAtOnce, openFleet } from "../../policy/placement.ts";
import { greatestBudget, poolBudget } from "../../policy/pools.ts";
import type { DeadLetter } from "../../schemas/queue.ts";
import { Addresses } from "./addresses.ts";
import { Aside } from "./aside.ts";
import { Conditions } from "./condition/conditions.ts";
import { DoubtBook } from "./doubts.ts";
import { Endings } from "./endings.ts";
import type { Entry, Pool, TenantDesk } from "./entities.ts";
import { EstimateBook } from "./estimates.ts";
import { Expectations } from "./expectations.ts";
import { type Letters, noLetters } from "./letters.ts";
import { LimitBook } from "./limits.ts";
import { Resting } from "./resting.ts";
import { Segments } from "./segments.ts";
import type { CoordinatorStore, StoredSegment, TicketRow } from "./store/store.ts";
import { TuningBook } from "./tunings.ts";
import { flowOfMailbox, lined, NO_REFUSALS } from "./waiting.ts";
import { Watching } from "./watching.ts";

/** A lease not heard of for this long is lost; dispatchers renew four times within it. */
export const LEASE_MS = 45_000;
/** A dispatcher with leases that missed a heartbeat is asked what it holds: a newly created one has lost everything, and does not know whom to tell. */
export const SILENCE_MS = 15_000;

export type { Entry, Pool, TenantDesk };

/** Assumed length of a call until the first one has ended. */
const FIRST_CALL_MS = 5_000;

export class Book {
  /** The settings in force. */
  readonly settings: Settings;
  readonly configured: Settings;
  readonly tunings: TuningBook;
  readonly pools = new Map<string, Pool>();
  readonly tenants = new Map<string, TenantDesk>();
  readonly entries = new Map<string, Entry>();
  readonly delayed = heapOf("delayed", ({ row }) => row.ready_at);
  /** Delayed tickets that may have stepped back behind the next probe of their pool. */
  readonly steppedBack = new Set<Entry>();
  readonly deadlines = heapOf("deadlines", ({ row }) => row.deadline!);
  /** Tenants held by something of their own until a known instant. A turn looks at these few, not at all of a thousand. */
  readonly #kept = new RankedHeap<TenantDesk>(
    ({ wakeAt }) => wakeAt,
    ({ slot }) => slot,
    (desk, place) => {
      desk.slot = place;
    },
  );
  readonly endings = new Endings();
  readonly watching = new Watching();
  readonly fleet: Fleet;
  readonly conditions: Conditions;
  readonly doubts = new DoubtBook();
  readonly limits = new LimitBook();
  readonly estimates = new EstimateBook();
  /** Running leases by dispatcher, then by job: each message about a lease is looked up among these few, not among a million tickets. */
  readonly leased = new Map<string, Map<string, Entry>>();
  /** When each of these dispatchers was last heard from, or asked. */
  readonly heardAt = new Map<string, number>();
  /** By dispatcher: the incarnation that has taken all of its leases, as far as known. */
  readonly boots = new Map<string, string>();
  readonly addresses: Addresses;
  /** When to write what only memory knows, if nothing happens before; Infinity if there is nothing to write. */
  quietAt = Number.POSITIVE_INFINITY;
  /** The object is about to restart: nothing starts, and what was spent is written exactly. */
  isLast = false;
  /** When the leases are checked next. */
  leaseCheckAt = Number.POSITIVE_INFINITY;
  nextArrival = 0;

  /** To be written at the end of the turn. */
  readonly dirty = new Set<Entry>();
  /** Dirty entries that arrived in this turn: not in storage yet. */
  readonly fresh = new Set<Entry>();
  readonly gone = new Set<Entry>();
  /** Tenants that spent from limits of their own in this turn, or got something back. */
  readonly spenders = new Set<string>();
  /** Tenants whose stored record may run ahead of what they spent. */
  readonly spentAhead = new Set<string>();
  readonly segments = new Segments();
  readonly resting = new Resting(this);
  readonly aside = new Aside(this);
  /** Tickets in line that are in memory. */
  awake = 0;
  readonly deadLetters: Omit<DeadLetter, "id">[] = [];
  /** To be sent after the turn. */
  letters: Letters = noLetters();

  constructor(configured: Settings, store: CoordinatorStore) {
    this.configured = configured;
    this.tunings = new TuningBook(store);
    const settings = this.tunings.over(configured);
    this.settings = settings;
    this.addresses = new Addresses(store);
    this.fleet = openFleet(settings.region, settings.maxDispatchers);
    this.conditions = new Conditions(settings.pools, this.fleet.retired);
    for (const [id, config] of Object.entries(settings.pools)) {
      const budget = poolBudget(config, leaveAtOnce(this.fleet));
      const order = new Order(
        (flow) => weightOfFlow(flow, (tenant) => this.tenant(tenant).weight),
        ({ tokens }) => dominantKind(budget, tokens),
      );
      this.pools.set(id, {
        id,
        budget,
        bound: greatestBudget(config),
        greatest: greatestBudget(config, configured.pools[id]!),
        order,
        record: null,
        runsAhead: false,
        wakeAt: Number.POSITIVE_INFINITY,
        waitingTokens: 0,
        departed: 0,
        callMs: FIRST_CALL_MS,
        expectations: new Expectations(),
        ended: new Map(),
      });
    }
  }

  tenant(name: string): TenantDesk {
    let desk = this.tenants.get(name);
    if (!desk) {
      const own = tenantOf(this.settings, name);
      const { maxQueued, weight } = own;
      const budget = ownBudget(own);
      const flows = [flowOf(name, false), flowOf(name, true)] as const;
      desk = { name, flows, budget, record: null, queued: 0, maxQueued, weight, wakeAt: Number.POSITIVE_INFINITY, slot: -1 };
      this.tenants.set(name, desk);
    }
    return desk;
  }

  /** What a tenant may use as configured, whatever operators have set. */
  configuredBudget(name: string): Budget {
    return ownBudget(tenantOf(this.configured, name));
  }

  /** Takes a ticket into memory, in whatever phase. */
  insert(row: TicketRow, now: number): Entry {
    const entry = this.enter(row, now);
    this.nextArrival = Math.max(this.nextArrival, row.arrival + 1);
    if (row.phase !== "ending") this.tenant(entry.address.tenant).queued++;
    if (row.phase === "waiting") this.line(entry);
    if (row.phase === "delayed") this.delayed.place(entry);
    // Storage does not tell whether it stepped back or only waits for its next attempt.
    if (row.phase === "delayed" && row.attempt > 0) this.stepBack(entry);
    return entry;
  }

  /** Puts a ticket into memory, again or for the first time; nothing is known of it beyond its row. */
  enter(row: TicketRow, now: number): Entry {
    const address = this.addresses.of(row.mailbox);
    const entry: Entry = {
      row,
      address,
      flow: flowOfMailbox(address),
      waiting: null,
      place: null,
      reservation: null,
      leasedAt: now,
      expiresAt: Number.POSITIVE_INFINITY,
      boot: null,
      refusedAt: null,
      refusals: NO_REFUSALS,
      credit: "none",
      tooLong: 0,
      late: 0,
      left: 0,
      lateMs: 0,
      backAt: null,
      slots: { delayed: -1, deadlines: -1, aside: -1 },
    };
    this.entries.set(row.job, entry);
    if (row.deadline !== null && row.phase !== "ending") this.deadlines.place(entry);
    return entry;
  }

  /** A ticket whose pool is no longer configured waits in `default`, or else in any pool. */
  adopt(row: TicketRow): void {
    if (!this.pools.has(row.pool)) row.pool = this.pools.has("default") ? "default" : this.pools.keys().next().value!;
  }

  /** Takes in a stored segment whose tickets are not in line yet. */
  insertSegment(stored: StoredSegment, resting: boolean, now: number): void {
    const segment = this.segments.restore(stored, resting);
    for (const { row, index } of stored.tickets) {
      this.adopt(row);
      this.segments.put(segment, index, this.insert(row, now));
    }
  }

  /** The ticket of a job; wakes it if it rests. */
  find(job: string, now: number): Entry | undefined {
    return this.entries.get(job) ?? (this.resting.find(job, now) ? this.entries.get(job) : undefined);
  }

  /** Puts a waiting ticket into the order. A retried one returns to its old place. */
  line(entry: Entry): void {
    const { row } = entry;
    const pool = this.pools.get(row.pool)!;
    this.aside.leave(entry);
    entry.waiting = lined(entry);
    pool.order.add(entry.waiting);
    pool.waitingTokens += row.tokens;
    this.awake++;
  }

  unline(entry: Entry, now: number): void {
    this.aside.leave(entry);
    if (!entry.waiting) return;
    const pool = this.pools.get(entry.row.pool)!;
    pool.order.remove(entry.waiting);
    this.taken(entry, now);
    this.freed(entry.address.tenant);
  }

  /** A job no longer waits for its tenant's own limit: a batch that waited for it, in any pool, may go. */
  freed(tenant: string): void {
    const { budget, flows } = this.tenant(tenant);
    if (budget.meters.length === 0) return;
    for (const { order } of this.pools.values()) order.readmit(flows[1]);
  }

  /** The order no longer holds this entry, if it did. */
  taken(entry: Entry, now: number): void {
    const pool = this.pools.get(entry.row.pool)!;
    pool.departed++;
    if (!entry.waiting) return;
    pool.waitingTokens -= entry.row.tokens;
    entry.waiting = null;
    this.awake--;
    this.resting.refill(pool, entry.flow, now);
  }

  /** It is too large for what its pool holds now: takes it out of line, so that nobody waits behind it. */
  setAside(entry: Entry, now: number): void {
    this.unline(entry, now);
    this.pools.get(entry.row.pool)!.expectations.gone(entry);
    this.aside.put(entry, now);
  }

  /** Something of the tenant's own holds its jobs until then, ms; Infinity if only an event can tell. */
  keep(desk: TenantDesk, until: number): void {
    if (until >= desk.wakeAt) return;
    desk.wakeAt = until;
    this.#kept.place(desk);
  }

  /** Tenants whose time has come are asked again. */
  readmitDue(now: number): void {
    for (let desk = this.#kept.peek(); desk && desk.wakeAt <= now; desk = this.#kept.peek()) this.readmit(desk.name);
  }

  /** What held the tenant's jobs, apart from their pool, may have changed: they are asked again. */
  readmit(tenant: string): void {
    const desk = this.tenant(tenant);
    desk.wakeAt = Number.POSITIVE_INFINITY;
    this.#kept.remove(desk);
    for (const { order } of this.pools.values()) for (const flow of desk.flows) order.readmit(flow);
  }

  /** The budget of a tenant that is about to spend from it, or to get something back. */
  spending(tenant: string): Budget {
    const { budget } = this.tenant(tenant);
    if (budget.meters.length > 0) this.spenders.add(tenant);
    return budget;
  }

  /** Books a lease that `row.dispatcher` holds from now on. */
  hold(entry: Entry, now: number): void {
    entry.boot = null;
    entry.leasedAt = now;
    entry.expiresAt = now + LEASE_MS;
    const name = entry.row.dispatcher!;
    let held = this.leased.get(name);
    if (!held) {
      held = new Map();
      this.leased.set(name, held);
    }
    if (held.size === 0) this.heardAt.set(name, now);
    held.set(entry.row.job, entry);
    this.leaseCheckAt = Math.min(this.leaseCheckAt, this.heardAt.get(name)! + SILENCE_MS);
  }

  /** A dispatcher's lease on a job; undefined if it speaks of another attempt, or another dispatcher holds the job by now. */
  leaseOf(dispatcher: string, { attempt, job }: { attempt: number; job: string }): Entry | undefined {
    const entry = this.leased.get(dispatcher)?.get(job);
    return entry?.row.attempt === attempt ? entry : undefined;
  }

  /** The job waits behind its pool's next probe. */
  stepBack(entry: Entry): void {
    entry.backAt = entry.row.ready_at;
    this.steppedBack.add(entry);
  }

  /** The ticket is over and its mailbox knows. */
  remove(entry: Entry, now: number): void {
    this.steppedBack.delete(entry);
    this.unline(entry, now);
    this.delayed.remove(entry);
    this.deadlines.remove(entry);
    this.pools.get(entry.row.pool)?.expectations.gone(entry);
    this.entries.delete(entry.row.job);
    this.endings.delete(entry.row.job);
    this.watching.forget(entry.row.job);
    this.dirty.delete(entry);
    if (!this.fresh.delete(entry)) this.gone.add(entry);
    if (entry.row.phase !== "ending") this.tenant(entry.address.tenant).queued--;
  }

  /** The next instant at which something is due; Infinity if nothing is. */
  nextWake(): number {
    let at = Math.min(this.leaseCheckAt, this.quietAt);
    // Nothing starts while the object is about to restart.
    if (!this.isLast) for (const pool of this.pools.values()) at = Math.min(at, pool.wakeAt);
    at = Math.min(at, this.#kept.peek()?.wakeAt ?? at);
    at = Math.min(at, this.delayed.peek()?.row.ready_at ?? at, this.deadlines.peek()?.row.deadline ?? at, this.resting.deadlineAt);
    return Math.min(at, this.endings.nextAt);
  }
}

function heapOf(name: "delayed" | "deadlines", dueAt: (entry: Entry) => number): RankedHeap<Entry> {
  return new RankedHeap<Entry>(
    dueAt,
    ({ slots }) => slots[name],
    ({ slots }, place) => {
      slots[name] = place;
    },
  );
}

function ownBudget({ rpm, tpm }: Tenant): Budget {
  return openBudget({ rpm, tpm, rpd: null, tpd: null, concurrency: null, burstSeconds: 60 });
}
