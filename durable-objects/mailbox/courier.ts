/**
 * Brings events to one other lobby. Law: each job's events go in order, in one message at a time. Nothing waits for a lobby, and little is held for it:
 * one that cannot take events now is told the newest of each job later, sees by its seq what it lacks, and finds that in the log.
 */
import { aTurn } from "../../platform/turns.ts";
import type { JobEvent } from "../../schemas/event.ts";
import { EventFrame } from "./frames.ts";

/** Characters of events that may wait while a message is under way: over a second of forty streams at full speed, and a part of an object's memory. */
const WAITING_CHARACTERS = 8_000_000;
/** Characters in a message, plus one event: far below the 32 MiB that it may have. */
const MESSAGE_CHARACTERS = 4_000_000;
/** Jobs whose newest event is looked up for one message: messages to all lobbies may be written in one turn, in which nothing else is done. */
const MESSAGE_JOBS = 250;
/** A lobby that could not be reached is tried again after this, then after twice as long, and so on. Each try itself repeats for half a second. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 300_000;

/** A lobby that could not be told. `since`: it may lack what happened from then on (ms); `until`: it is left alone until then (ms). */
export type Outage = { since: number; failures: number; until: number };

/** What a courier needs from its mailbox. */
export type Route = {
  /** Returns to how many sockets any of them went at most. @throws if the lobby cannot be reached, or does not answer in time. */
  relay: (events: JobEvent[]) => Promise<number>;
  /** The newest event of a job; null if the lobby no longer follows it. */
  newest: (n: number) => JobEvent | null;
  /**
   * Jobs in a stretch of numbers before `before` to which something happened, or may have, from an instant on (ms). `below`: the next stretch's `before`, null
   * if this was the last.
   */
  open: (since: number, before: number) => { jobs: number[]; below: number | null };
  /** The seq of a job's first event from an instant on (ms); Infinity if that is not known. */
  firstSince: (n: number, since: number) => number;
  /** The lobby has the event. */
  arrived: (n: number, event: JobEvent) => void;
  /** The lobby cannot be told now: stores the outage, so that sleep does not lose it. */
  failed: (outage: Outage) => void;
  /** The lobby has been told all that it missed. */
  recovered: () => void;
  /** This many characters more (or less, if negative) are held for the lobby. */
  holds: (more: number) => void;
  /** How many more characters may be held, for all lobbies. */
  room: () => number;
  now: () => number;
  /** Keeps the object alive until the work is done. */
  background: (work: Promise<unknown>) => void;
  /** Makes sure that the object is awake by then (ms). */
  wakeBy: (at: number) => void;
};

/** `size`: in characters, 0 if it does not have to wait; `at`: since when the lobby lacks it, ms. */
type Letter = { n: number; event: JobEvent; size: number; at: number; done: (readers: number) => void };

/**
 * What a lobby lacks of a job: from which seq on (Infinity: not known), and `at`: since when (ms). `since`: it may also lack what happened from then on (ms),
 * null for nothing; the seq of that is looked up when the lobby is told.
 */
type Lack = { seq: number; at: number; since: number | null };
/** The lobby may lack what happened to the jobs below a number from an instant on (ms): they are gone through when it is told. */
type Search = { since: number; below: number };

/** An event is serialised only once to know its size, however many lobbies it goes to. */
const sizes = new WeakMap<JobEvent, number>();

function sizeOf(event: JobEvent): number {
  const size = sizes.get(event) ?? new EventFrame(event).text.length;
  sizes.set(event, size);
  return size;
}

export class Courier {
  readonly #route: Route;
  #waiting: Letter[] = [];
  #characters = 0;
  /** Jobs of which the lobby lacks events that are no longer held here. Telling their newest event covers those that come meanwhile. */
  readonly #lacking = new Map<number, Lack>();
  #search: Search | null = null;
  #underway = false;
  #outage: Outage | null;
  #failures: number;
  /** ms */
  #pausedUntil: number;

  /** `outage`: one that was stored. */
  constructor(route: Route, outage: Outage | null = null) {
    this.#route = route;
    this.#outage = outage;
    this.#failures = outage?.failures ?? 0;
    this.#pausedUntil = outage?.until ?? Number.NEGATIVE_INFINITY;
  }

  get idle(): boolean {
    return !this.#underway && this.#waiting.length === 0 && !this.#lacks;
  }

  /** Whether the lobby has all that it could be told, and what it could not is stored. */
  get settled(): boolean {
    return !this.#underway && this.#waiting.length === 0 && (!this.#lacks || this.#outage !== null);
  }

  /** When it may go again (ms); null if it is under way, or has nothing left to tell. */
  get resumesAt(): number | null {
    return this.#underway || !this.#lacks ? null : this.#pausedUntil;
  }

  /** Returns to how many sockets the event went at most; 0 if the lobby does not have it yet. */
  bring(n: number, event: JobEvent): Promise<number> {
    const since = this.#search && n < this.#search.below ? this.#search.since : null;
    if (since !== null || this.#lacking.has(n) || this.#pausedUntil > this.#route.now()) {
      this.#lack(n, event.seq, since ?? this.#route.now(), since);
      this.go();
      return Promise.resolve(0);
    }
    return new Promise((done) => {
      const size = this.#underway ? sizeOf(event) : 0;
      this.#waiting.push({ n, event, size, at: this.#route.now(), done });
      this.#hold(size);
      if (this.#characters > WAITING_CHARACTERS) this.letGo();
      this.go();
    });
  }

  /** Characters of events that wait. */
  get waiting(): number {
    return this.#characters;
  }

  /** Lets go of the events that wait: the lobby is told their jobs' newest later. */
  letGo(): void {
    const letters = this.#waiting.splice(0);
    this.#hold(-this.#characters);
    for (const { at, done, event, n } of letters) {
      this.#lack(n, (event.since ?? event.seq - 1) + 1, at);
      done(0);
    }
  }

  /** The lobby may lack events of these jobs: those since its outage if there is one, else it is not known which. */
  bringNewest(jobs: Iterable<number>): void {
    for (const n of jobs) this.#lack(n, Number.POSITIVE_INFINITY, this.#route.now(), this.#outage?.since);
    this.go();
  }

  /** The lobby may lack events of any job below a number, from an instant on (ms). */
  search(since: number, below: number): void {
    this.#search = { since, below };
    this.go();
  }

  /** Sends what there is, unless a message is under way or it pauses. */
  go(): void {
    if (this.#underway) return;
    if (this.idle) this.#recover();
    else if (this.#pausedUntil > this.#route.now()) this.#route.wakeBy(this.#pausedUntil);
    else this.#route.background(this.#goOn());
  }

  async #goOn(): Promise<void> {
    this.#underway = true;
    for (;;) {
      if (this.#search) await this.#seek();
      const { characters, letters } = this.#take();
      if (letters.length === 0 && this.#search) continue;
      if (letters.length === 0) break;
      try {
        const readers = await this.#route.relay(letters.map(({ event }) => event));
        this.#failures = 0;
        for (const { done, event, n } of letters) {
          this.#route.arrived(n, event);
          done(readers);
        }
      } catch {
        this.#waiting = [...letters, ...this.#waiting];
        this.letGo();
        this.#pause();
        break;
      } finally {
        this.#route.holds(-characters);
      }
    }
    this.#underway = false;
    if (this.idle) this.#recover();
  }

  get #lacks(): boolean {
    return this.#lacking.size > 0 || this.#search !== null;
  }

  /** Goes through jobs until something waits, or there is enough for a message; one stretch a turn, because jobs and lobbies may be very many. */
  async #seek(): Promise<void> {
    for (let waits = false; this.#search && !waits; waits = this.#waiting.length > 0 || this.#lacking.size >= MESSAGE_JOBS) {
      await aTurn();
      const { below, since } = this.#search;
      const found = this.#route.open(since, below);
      this.#search = found.below === null ? null : { since, below: found.below };
      for (const n of found.jobs) this.#lack(n, Number.POSITIVE_INFINITY, since, since);
    }
  }

  #pause(): void {
    let since = Math.min(this.#route.now(), this.#search?.since ?? Number.POSITIVE_INFINITY);
    for (const { at } of this.#lacking.values()) since = Math.min(since, at);
    this.#pausedUntil = this.#route.now() + Math.min(FIRST_PAUSE_MS * 2 ** this.#failures++, LONGEST_PAUSE_MS);
    this.#outage = { since: Math.min(this.#outage?.since ?? since, since), failures: this.#failures, until: this.#pausedUntil };
    this.#route.failed(this.#outage);
    this.#route.wakeBy(this.#pausedUntil);
  }

  #recover(): void {
    if (this.#outage) this.#route.recovered();
    this.#outage = null;
  }

  /** The next message, and how many characters are held for it. */
  #take(): { letters: Letter[]; characters: number } {
    const most = Math.min(MESSAGE_CHARACTERS, this.#characters + this.#route.room());
    let [count, characters] = [0, 0];
    while (count < this.#waiting.length && (count === 0 || characters < most)) characters += this.#waiting[count++]!.size;
    const letters = this.#waiting.splice(0, count);
    this.#characters -= characters;
    let jobs = 0;
    for (const [n, { at, seq, since }] of this.#lacking) {
      if (jobs === MESSAGE_JOBS || (letters.length > 0 && characters >= most)) break;
      this.#lacking.delete(n);
      const event = this.#route.newest(n);
      if (!event) continue;
      jobs++;
      characters += sizeOf(event);
      this.#route.holds(sizeOf(event));
      // `since` tells a lobby that slept, and so knows nothing of the job, what it lacks.
      const first = since === null ? seq : Math.min(seq, this.#route.firstSince(n, since));
      letters.push({ n, event: { ...event, since: Math.min(first, event.seq) - 1 }, size: 0, at, done: () => {} });
    }
    return { letters, characters };
  }

  #hold(more: number): void {
    this.#characters += more;
    this.#route.holds(more);
  }

  #lack(n: number, seq: number, at: number, since: number | null = null): void {
    const before = this.#lacking.get(n) ?? { seq, at, since };
    this.#lacking.set(n, { seq: Math.min(seq, before.seq), at: Math.min(at, before.at), since: since ?? before.since });
  }
}
