/**
 * Events that mailboxes tell while some subscription here waits for the past of what it follows there. Each event is held once, however many wait. Law: a
 * subscription is given each event that came since it began to wait, or told which jobs lost some, to be read from the log; and what is held for all
 * together is bounded, because a mailbox may tell much while it does not answer.
 */
import type { JobEvent } from "../../schemas/event.ts";
import type { EventFrame } from "./frames.ts";

/** Characters held from all mailboxes: some seconds of a hundred streams, and a part of an object's memory. */
export const HELD_CHARACTERS = 16_000_000;
/** What an event takes besides its text. */
const EVENT_CHARACTERS = 100;
/** Jobs of one mailbox whose losses are remembered: a reader may not lag behind with more. */
const LOST_JOBS = 10_000;

/** A subscription that waits. `from`: the number of the first event since it began to. */
export type Waiting = { from: number };
type Kept = { number: number; frame: EventFrame; size: number };
/** Events of a job after a seq, up to another, that are no longer held. `number`: that of the last. */
export type Lost = { job: string; after: number; newest: number; number: number };

type Site = {
  /** In the order in which they began to wait. */
  waiting: Set<Waiting>;
  kept: Kept[];
  characters: number;
  /** By job, in the order of their last losses. */
  lost: Map<string, Lost>;
  /** The number of the last event that was lost without being remembered in `lost`. */
  gone: number;
  /** The number of the last event that came. */
  number: number;
  newest: EventFrame | null;
};

export class Held {
  readonly #limit: number;
  /** By channel. */
  readonly #sites = new Map<string, Site>();
  #characters = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get characters(): number {
    return this.#characters;
  }

  /** A subscription to something of this channel begins to wait. */
  begin(channel: string, waiting: Waiting): void {
    const site = this.#sites.get(channel) ?? newSite();
    this.#sites.set(channel, site);
    waiting.from = site.number + 1;
    site.waiting.add(waiting);
  }

  /** Holds an event for a subscription that waits. */
  add(channel: string, frame: EventFrame): void {
    const site = this.#sites.get(channel);
    // Held already: this call is for the next subscription that waits for it.
    if (!site || site.newest === frame) return;
    site.newest = frame;
    const kept = { number: ++site.number, frame, size: frame.text.length + EVENT_CHARACTERS };
    if (site.lost.has(frame.event.job)) {
      // An earlier event of this job was lost, and this one must not be told before it.
      lose(site, kept);
      return;
    }
    site.kept.push(kept);
    this.#count(site, kept.size);
    if (this.#characters <= this.#limit) return;
    const [heaviest] = [...this.#sites.values()].sort((a, b) => b.characters - a.characters);
    if (heaviest) this.#letGo(heaviest);
  }

  /** What came from a number on: events, and the jobs that lost some; null if that is not known. */
  since(channel: string, from: number): { frames: { number: number; frame: EventFrame }[]; lost: Lost[] } | null {
    const site = this.#sites.get(channel);
    if (!site) return { frames: [], lost: [] };
    if (site.gone >= from) return null;
    const since = ({ number }: { number: number }) => number >= from;
    return { frames: site.kept.filter(since), lost: [...site.lost.values()].filter(since) };
  }

  /** A subscription no longer waits. */
  end(channel: string, waiting: Waiting): void {
    const site = this.#sites.get(channel);
    if (!site?.waiting.delete(waiting)) return;
    const [oldest] = site.waiting;
    const from = oldest?.from ?? Number.POSITIVE_INFINITY;
    let over = 0;
    while (over < site.kept.length && site.kept[over]!.number < from) this.#count(site, -site.kept[over++]!.size);
    if (over > 0) site.kept.splice(0, over);
    for (const [job, { number }] of site.lost) {
      if (number >= from) break;
      site.lost.delete(job);
    }
    if (!oldest) this.#sites.delete(channel);
  }

  #letGo(site: Site): void {
    for (const kept of site.kept.splice(0)) lose(site, kept);
    this.#count(site, -site.characters);
  }

  #count(site: Site, more: number): void {
    site.characters += more;
    this.#characters += more;
  }
}

function newSite(): Site {
  return { waiting: new Set(), kept: [], characters: 0, lost: new Map(), gone: 0, number: 0, newest: null };
}

function lose(site: Site, { frame: { event }, number }: Kept): void {
  const { job } = event;
  const before = site.lost.get(job);
  site.lost.delete(job);
  site.lost.set(job, before ? { ...before, newest: Math.max(before.newest, event.seq), number } : { ...lostWith(event), number });
  if (site.lost.size <= LOST_JOBS) return;
  const [oldest] = site.lost.values();
  site.lost.delete(oldest!.job);
  site.gone = oldest!.number;
}

/** What is lost of a job if this event, which is lost, is all that is known of it. */
export function lostWith({ job, seq, since }: JobEvent): Omit<Lost, "number"> {
  return { job, after: since ?? seq - 1, newest: seq };
}
