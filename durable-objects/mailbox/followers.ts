/**
 * Who is told of this mailbox's events. A client's socket may live in another mailbox (its lobby); the lobby follows here.
 * Law: to each lobby the events of a job go in order, and nothing waits for them to arrive. A lobby elsewhere is a job's follower until the end has reached
 * it, whatever dies in between: one that stands beside an end is the debt of telling it.
 */
import { spotOf } from "../../platform/ids.ts";
import { mailboxName } from "../../platform/mailboxes.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { MailboxAddress } from "../../schemas/rpc.ts";
import { Courier, type Outage, type Route } from "./courier.ts";
import { entriesOf } from "./log.ts";
import { CONFIRMED_MS } from "./store/outages.ts";
import type { MailboxStore } from "./store/store.ts";
import { Untold } from "./untold.ts";

/** In place of a job's number: every job of the mailbox. */
export const WHOLE_CHANNEL = 0;

/** While something is to be told elsewhere, the object is woken this often (ms): it may have died over it. */
const WATCHDOG_MS = 30_000;

/** Numbers of jobs that are gone through in one turn for what a lobby could not be told. */
const STRETCH = 2_000;

/**
 * What is held for all lobbies together, in characters, and one event for each beyond: many that cannot be reached at once would fill an object's memory,
 * each with a second of the channel. What is let go the log can tell.
 */
const HELD_CHARACTERS = 24_000_000;

export type Ways = Pick<Route, "now" | "background" | "wakeBy"> & {
  /** A while in which the object stays awake. */
  rest: () => Promise<void>;
  /** Hands events to the sockets of this very object, and answers to how many; less than 0 if nobody follows these jobs here. */
  deliver: (events: JobEvent[]) => number;
  /** The same to another's. @throws if it cannot be reached, or does not answer in time. */
  relay: (lobby: string, events: JobEvent[]) => Promise<number>;
  /** The newest event of a job, of all or of those that are no deltas; null if there is no such job. */
  newest: (n: number, deltas: boolean) => JobEvent | null;
};

/** `leaves`: how often the lobby had left somebody, at the newest word that it follows. */
type Follower = { deltas: boolean; leaves: number };

export class Followers {
  /** By target and lobby name. */
  readonly #byTarget = new Map<number, Map<string, Follower>>();
  /** To those that have something to be told. */
  readonly #couriers = new Map<string, Courier>();
  #held = 0;
  /** Lobbies whose answer to a message is awaited, and whether somebody there has begun to follow since it went. */
  readonly #awaited = new Map<string, boolean>();
  readonly #store: MailboxStore;
  readonly #here: string;
  readonly #ways: Ways;
  readonly #untold: Untold;

  constructor(store: MailboxStore, self: MailboxAddress, ways: Ways) {
    this.#store = store;
    this.#here = mailboxName(self);
    this.#ways = ways;
    this.#untold = new Untold(store, ways, () => [...this.#couriers.values()].every(({ settled }) => settled));
    for (const { deltas, leaves, lobby, target } of store.followers()) this.#remember(target, lobby, { deltas: deltas === 1, leaves });
  }

  watched(n: number): boolean {
    return this.#byTarget.has(WHOLE_CHANNEL) || this.#byTarget.has(n);
  }

  wantsDeltas(n: number): boolean {
    return [...this.#lobbies(n).values()].some((deltas) => deltas);
  }

  /** Somebody begins to follow. Answers whether that is new. */
  add(target: number, lobby: string, deltas: boolean, leaves = 0): boolean {
    if (this.#awaited.has(lobby)) this.#awaited.set(lobby, true);
    return this.#put(target, lobby, deltas, leaves);
  }

  has(target: number, lobby: string): boolean {
    return this.#byTarget.get(target)?.has(lobby) ?? false;
  }

  /** `leave`: the number of the lobby's word that it has left; one that comes late, after that it follows again, is void. */
  remove(target: number, lobby: string, leave = Number.POSITIVE_INFINITY): void {
    const lobbies = this.#byTarget.get(target);
    const follower = lobbies?.get(lobby);
    if (!lobbies || !follower || follower.leaves >= leave) return;
    lobbies.delete(lobby);
    if (lobbies.size === 0) this.#byTarget.delete(target);
    this.#store.dropFollower(target, lobby);
  }

  /** The job is deleted, and its followers' rows with it. */
  forget(n: number): void {
    this.#byTarget.delete(n);
  }

  /** The job's end is being written: in the same commit it is put down who elsewhere is to be told. */
  owe(n: number): void {
    const elsewhere = [...this.#lobbies(n)].filter(([lobby]) => lobby !== this.#here);
    for (const [lobby, deltas] of elsewhere) this.#put(n, lobby, deltas, 0);
    if (elsewhere.length > 0) this.#ways.wakeBy(this.#ways.now() + WATCHDOG_MS);
  }

  /** Tells all who follow this job. Resolves when each lobby has the event or cannot take it now, with the number of sockets that it goes to. */
  async tell(n: number, event: JobEvent): Promise<number> {
    const told = [...this.#lobbies(n)].map(([lobby, deltas]) => {
      if (event.event === "delta" && !deltas) return 0;
      if (lobby !== this.#here) {
        // An end is owed.
        if (!isEnd(event.event)) this.#untold.goes();
        return this.#courier(lobby).bring(n, event);
      }
      const readers = Math.max(0, this.#ways.deliver([event]));
      if (isEnd(event.event)) this.remove(n, lobby);
      return readers;
    });
    return (await Promise.all(told)).reduce((sum, readers) => sum + readers, 0);
  }

  /** The job has ended: tells those of it who may not know. */
  tellAgain(n: number): void {
    for (const lobby of this.#byTarget.get(n)?.keys() ?? []) this.#owes(lobby, n);
  }

  /** At wake: tells the ends that were not told for certain, those who could not be told the rest, and what was on its way as the object died. */
  tellOwed(): void {
    const outages = this.#store.outages.all();
    for (const { lobby, ...outage } of outages) this.#courier(lobby, outage);
    for (const { lobby, target } of this.#store.owed()) this.#owes(lobby, target);
    const lacks = new Map(outages.map(({ lobby, since }) => [lobby, since]));
    const untold = this.#untold.recall();
    if (untold > 0) for (const lobby of this.#elsewhere()) lacks.set(lobby, Math.min(untold, lacks.get(lobby) ?? untold));
    if (lacks.size === 0) return;
    // Which jobs that concerns, and which of their events, is found when it may be told.
    const below = (this.#store.newest()?.n ?? 0) + 1;
    for (const [lobby, since] of lacks) this.#courier(lobby).search(since, below);
  }

  /** Lobbies elsewhere that follow anything. */
  #elsewhere(): Set<string> {
    const lobbies = new Set([...this.#byTarget.values()].flatMap((all) => [...all.keys()]));
    lobbies.delete(this.#here);
    return lobbies;
  }

  /** Goes on telling those who could not be told; answers when to come again (ms), null if nothing is to be told. */
  resume(): number | null {
    let next = this.#untold.due;
    for (const [lobby, courier] of this.#couriers) {
      courier.go();
      if (courier.idle) this.#couriers.delete(lobby);
      else next = Math.min(next ?? Number.POSITIVE_INFINITY, courier.resumesAt ?? this.#ways.now() + WATCHDOG_MS);
    }
    return next;
  }

  #owes(lobby: string, n: number): void {
    if (lobby === this.#here) {
      const event = this.#ways.newest(n, false);
      if (event) this.#ways.deliver([event]);
      this.remove(n, lobby);
    } else this.#courier(lobby).bringNewest([n]);
  }

  /** Jobs before a number of which a lobby may lack what happened from then on (ms): of all, or of those that it follows by name. */
  #openJobs(lobby: string, since: number, before: number): { jobs: number[]; below: number | null } {
    if (this.has(WHOLE_CHANNEL, lobby)) return this.#store.outages.openJobs(since, before, STRETCH);
    const named = [...this.#byTarget].flatMap(([n, lobbies]) => (n < before && lobbies.has(lobby) ? n : []));
    const next = named.sort((a, b) => b - a).slice(0, STRETCH);
    return { jobs: this.#store.outages.openAmong(since, next), below: next.length < named.length ? next.at(-1)! : null };
  }

  /** The first event of a job from then on (ms), but for deltas, which bear no time; Infinity if that is not known. */
  #firstSince(n: number, since: number): number {
    const row = this.#store.job(n);
    const entry = row && entriesOf(row).find(([, event, at]) => (event === "queued" ? at + CONFIRMED_MS : at) >= since);
    return entry?.[0] ?? Number.POSITIVE_INFINITY;
  }

  /** Answers whether that is new. */
  #put(target: number, lobby: string, deltas: boolean, leaves: number): boolean {
    const before = this.#byTarget.get(target)?.get(lobby);
    const follower = { deltas: deltas || before?.deltas === true, leaves: Math.max(leaves, before?.leaves ?? 0) };
    const fresh = before?.deltas !== follower.deltas;
    if (!fresh && before?.leaves === follower.leaves) return false;
    this.#remember(target, lobby, follower);
    this.#store.putFollower({ target, lobby, deltas: follower.deltas ? 1 : 0, leaves: follower.leaves });
    return fresh;
  }

  #lobbies(n: number): Map<string, boolean> {
    const lobbies = new Map<string, boolean>();
    for (const target of [WHOLE_CHANNEL, n])
      for (const [lobby, { deltas }] of this.#byTarget.get(target) ?? []) lobbies.set(lobby, deltas || lobbies.get(lobby) === true);
    return lobbies;
  }

  /** A lobby that nobody follows from, for its word that they have left was lost, is a follower no more. Who has begun meanwhile, it does not know of. */
  async #relay(lobby: string, events: JobEvent[]): Promise<number> {
    this.#awaited.set(lobby, false);
    let hasBegun: boolean;
    let readers: number;
    try {
      readers = await this.#ways.relay(lobby, events);
    } finally {
      hasBegun = this.#awaited.get(lobby)!;
      this.#awaited.delete(lobby);
    }
    if (readers >= 0 || hasBegun) return Math.max(0, readers);
    this.remove(WHOLE_CHANNEL, lobby);
    for (const n of new Set(events.map(({ job }) => spotOf(job)!.number))) this.remove(n, lobby);
    return 0;
  }

  #courier(lobby: string, outage: Outage | null = null): Courier {
    const known = this.#couriers.get(lobby);
    if (known) return known;
    const route: Route = {
      ...this.#ways,
      relay: (events) => this.#relay(lobby, events),
      newest: (n) => {
        const deltas = this.#lobbies(n).get(lobby);
        if (deltas === undefined) return null;
        const event = this.#ways.newest(n, deltas);
        if (!event) this.remove(n, lobby);
        return event;
      },
      open: (since, before) => this.#openJobs(lobby, since, before),
      firstSince: (n, since) => this.#firstSince(n, since),
      holds: (more) => this.#holds(more),
      room: () => HELD_CHARACTERS - this.#held,
      arrived: (n, event) => {
        if (isEnd(event.event)) this.remove(n, lobby);
      },
      failed: (outage) => this.#store.outages.put({ lobby, ...outage }),
      recovered: () => this.#store.outages.drop(lobby),
    };
    const courier = new Courier(route, outage);
    this.#couriers.set(lobby, courier);
    return courier;
  }

  /** Beyond what may be held, the lobby for which most waits is told the rest later. */
  #holds(more: number): void {
    this.#held += more;
    if (more <= 0 || this.#held <= HELD_CHARACTERS) return;
    const [heaviest] = [...this.#couriers.values()].sort((a, b) => b.waiting - a.waiting);
    heaviest?.letGo();
  }

  #remember(target: number, lobby: string, follower: Follower): void {
    const lobbies = this.#byTarget.get(target) ?? new Map<string, Follower>();
    this.#byTarget.set(target, lobbies.set(lobby, follower));
  }
}
