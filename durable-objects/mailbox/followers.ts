/**
 * Who is told of this mailbox's events. A client's socket may live in another mailbox (its lobby); that lobby follows this mailbox.
 * Law: to each lobby a job's events go in order, and nothing waits for them to arrive. Another mailbox stays a job's follower until the end has reached it,
 * whatever dies in between: a follower's row beside a job's end means that the end must still be told.
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

/** While something is to be told to other mailboxes, the object is woken this often (ms), in case it died meanwhile. */
const WATCHDOG_MS = 30_000;

/** Job numbers that are gone through in one turn for what a lobby could not be told. */
const STRETCH = 2_000;

/**
 * Characters that are held for all lobbies together, plus one event for each: many unreachable lobbies, each with a second of the channel, would otherwise
 * fill an object's memory. What is let go can be told from the log.
 */
const HELD_CHARACTERS = 24_000_000;

export type Ways = Pick<Route, "now" | "background" | "wakeBy"> & {
  /** Resolves after a while, in which the object stays awake. */
  rest: () => Promise<void>;
  /** Hands events to this object's own sockets, and returns to how many; less than 0 if nobody follows these jobs here. */
  deliver: (events: JobEvent[]) => number;
  /** The same for another object's. @throws if it cannot be reached, or does not answer in time. */
  relay: (lobby: string, events: JobEvent[]) => Promise<number>;
  /** The newest event of a job, deltas included or not; null if there is no such job. */
  newest: (n: number, deltas: boolean) => JobEvent | null;
};

/** `leaves`: the number of the lobby's last `unfollow`, when it last said that it follows. */
type Follower = { deltas: boolean; leaves: number };

export class Followers {
  /** By target and lobby name. */
  readonly #byTarget = new Map<number, Map<string, Follower>>();
  /** For the lobbies that have something to be told. */
  readonly #couriers = new Map<string, Courier>();
  #held = 0;
  /** Lobbies whose answer to a message is awaited, and whether they have begun to follow anything since it was sent. */
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

  /** A lobby begins to follow. Returns whether that is new, or its wish for deltas is. */
  add(target: number, lobby: string, deltas: boolean, leaves = 0): boolean {
    if (this.#awaited.has(lobby)) this.#awaited.set(lobby, true);
    return this.#put(target, lobby, deltas, leaves);
  }

  has(target: number, lobby: string): boolean {
    return this.#byTarget.get(target)?.has(lobby) ?? false;
  }

  /** `leave`: the number of the lobby's `unfollow`; one that comes late, after the lobby has begun to follow again, is void. */
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

  /** The job's end is being written: the same commit records which other mailboxes are to be told. */
  owe(n: number): void {
    const elsewhere = [...this.#lobbies(n)].filter(([lobby]) => lobby !== this.#here);
    for (const [lobby, deltas] of elsewhere) this.#put(n, lobby, deltas, 0);
    if (elsewhere.length > 0) this.#ways.wakeBy(this.#ways.now() + WATCHDOG_MS);
  }

  /** Tells all followers of this job. Resolves with the number of sockets that the event went to, once each lobby has it or cannot take it now. */
  async tell(n: number, event: JobEvent): Promise<number> {
    const told = [...this.#lobbies(n)].map(([lobby, deltas]) => {
      if (event.event === "delta" && !deltas) return 0;
      if (lobby !== this.#here) {
        // An end is already on record (`owe`).
        if (!isEnd(event.event)) this.#untold.goes();
        return this.#courier(lobby).bring(n, event);
      }
      const readers = Math.max(0, this.#ways.deliver([event]));
      if (isEnd(event.event)) this.remove(n, lobby);
      return readers;
    });
    return (await Promise.all(told)).reduce((sum, readers) => sum + readers, 0);
  }

  /** The job has ended: tells the followers that may not know. */
  tellAgain(n: number): void {
    for (const lobby of this.#byTarget.get(n)?.keys() ?? []) this.#owes(lobby, n);
  }

  /** At wake: tells ends that may not have arrived, what lobbies could not be told, and what was on its way when the object died. */
  tellOwed(): void {
    const outages = this.#store.outages.all();
    for (const { lobby, ...outage } of outages) this.#courier(lobby, outage);
    for (const { lobby, target } of this.#store.owed()) this.#owes(lobby, target);
    const lacks = new Map(outages.map(({ lobby, since }) => [lobby, since]));
    const untold = this.#untold.recall();
    if (untold > 0) for (const lobby of this.#elsewhere()) lacks.set(lobby, Math.min(untold, lacks.get(lobby) ?? untold));
    if (lacks.size === 0) return;
    // Which jobs that concerns, and which of their events, is looked up when the lobby can be told.
    const below = (this.#store.newest()?.n ?? 0) + 1;
    for (const [lobby, since] of lacks) this.#courier(lobby).search(since, below);
  }

  /** Other mailboxes that follow anything here. */
  #elsewhere(): Set<string> {
    const lobbies = new Set([...this.#byTarget.values()].flatMap((all) => [...all.keys()]));
    lobbies.delete(this.#here);
    return lobbies;
  }

  /** Goes on telling lobbies that could not be told; returns when to come again (ms), null if nothing is to be told. */
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

  /** Jobs before a number of which a lobby may lack what happened from an instant on (ms): among all jobs, or among those that it follows by name. */
  #openJobs(lobby: string, since: number, before: number): { jobs: number[]; below: number | null } {
    if (this.has(WHOLE_CHANNEL, lobby)) return this.#store.outages.openJobs(since, before, STRETCH);
    const named = [...this.#byTarget].flatMap(([n, lobbies]) => (n < before && lobbies.has(lobby) ? n : []));
    const next = named.sort((a, b) => b - a).slice(0, STRETCH);
    return { jobs: this.#store.outages.openAmong(since, next), below: next.length < named.length ? next.at(-1)! : null };
  }

  /** The seq of a job's first event from an instant on (ms), except deltas, which carry no time; Infinity if that is not known. */
  #firstSince(n: number, since: number): number {
    const row = this.#store.job(n);
    const entry = row && entriesOf(row).find(([, event, at]) => (event === "queued" ? at + CONFIRMED_MS : at) >= since);
    return entry?.[0] ?? Number.POSITIVE_INFINITY;
  }

  /** Returns whether that is new. */
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

  /** If the lobby says that nobody there follows (its `unfollow` was lost), it is removed, unless it began to follow after the message was sent. */
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

  /** Over the limit, the lobby for which most waits is told the rest later. */
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
