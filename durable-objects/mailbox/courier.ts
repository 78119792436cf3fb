/**
 * Brings events to one lobby elsewhere. Law: of each job in the order of its events, in one message at a time; nothing waits for a lobby, and little is
 * held for it: one that cannot take events now is told the newest of each job later, and by its number finds what it lacks, which the log has.
 */
import { aTurn } from "../../platform/turns.ts";
import type { JobEvent } from "../../schemas/event.ts";
import { EventFrame } from "./frames.ts";

/** Events that may wait while a message is under way, in characters: a second and more of forty streams at full speed, and a part of an object's memory. */
const WAITING_CHARACTERS = 8_000_000;
/** Of a message, and one event beyond: far below the 32 MiB that it may have. */
const MESSAGE_CHARACTERS = 4_000_000;
/** Jobs whose newest event is looked up for one message: the messages of all lobbies may be written in one turn, and nothing else is done meanwhile. */
const MESSAGE_JOBS = 250;
/** A lobby that could not be reached is tried again after this, then after twice as long, and so on. It was tried for half a second before. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 300_000;

/** A lobby that could not be told. `since`: what happened from then on (ms) it may lack; `until`: it is left alone until then (ms). */
export type Outage = { since: number; failures: number; until: number };

/** What a courier needs of its mailbox. */
export type Route = {
  /** Answers to how many sockets they went at most. @throws if the lobby cannot be reached, or does not answer in time. */
  relay: (events: JobEvent[]) => Promise<number>;
  /** The newest event of a job; null if the lobby follows it no more. */
  newest: (n: number) => JobEvent | null;
  /**
   * Jobs of a stretch of numbers before one, of which something happened from an instant on (ms), or may have, and where the next stretch ends; null if it was
   * the last.
   */
  open: (since: number, before: number) => { jobs: number[]; below: number | null };
  /** The seq of the first event of a job from an instant on (ms); Infinity if that is not known. */
  firstSince: (n: number, since: number) => number;
  /** The lobby has it. */
  arrived: (n: number, event: JobEvent) => void;
  /** It cannot be told now: to be kept, so that sleep does not forget it. */
  failed: (outage: Outage) => void;
  /** It has been told all that it could not be. */
  recovered: () => void;
  /** So many characters more, or less, are held for the lobby. */
  holds: (more: number) => void;
  /** Characters that may be held beyond those that are, for all lobbies. */
  room: () => number;
  now: () => number;
  /** Lets the object live until the work is done. */
  background: (work: Promise<unknown>) => void;
  /** Makes sure that the object is awake by then (ms). */
  wakeBy: (at: number) => void;
};

/** `size`: in characters, 0 of one that does not have to wait; `at`: since when the lobby lacks it, ms. */
type Letter = { n: number; event: JobEvent; size: number; at: number; done: (readers: number) => void };

/**
 * What a lobby lacks of a job: from a seq on (Infinity: that is not known), and from when on (ms). `since`: what happened from then on (ms) it may lack too,
 * null for nothing; which seq that is, is looked up when it is told.
 */
type Lack = { seq: number; at: number; since: number | null };
/** Of the jobs below a number the lobby may lack what happened from an instant on (ms): they are gone through when it is told. */
type Search = { since: number; below: number };

/** An event is written out once to know its size, however many lobbies it goes to. */
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
  /** Jobs of which the lobby lacks events that are held here no longer. What comes of them meanwhile is in their newest event. */
  readonly #lacking = new Map<number, Lack>();
  #search: Search | null = null;
  #underway = false;
  #outage: Outage | null;
  #failures: number;
  /** ms */
  #pausedUntil: number;

  /** `outage`: one that was kept. */
  constructor(route: Route, outage: Outage | null = null) {
    this.#route = route;
    this.#outage = outage;
    this.#failures = outage?.failures ?? 0;
    this.#pausedUntil = outage?.until ?? Number.NEGATIVE_INFINITY;
  }

  get idle(): boolean {
    return !this.#underway && this.#waiting.length === 0 && !this.#lacks;
  }

  /** The lobby has all that it could be told; what it could not, sleep does not forget. */
  get settled(): boolean {
    return !this.#underway && this.#waiting.length === 0 && (!this.#lacks || this.#outage !== null);
  }

  /** When it is to go again, if it waits for that (ms); else null. */
  get resumesAt(): number | null {
    return this.#underway || !this.#lacks ? null : this.#pausedUntil;
  }

  /** Answers to how many sockets it went at most; 0 if the lobby does not have it yet. */
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

  /** Characters of what waits. */
  get waiting(): number {
    return this.#characters;
  }

  /** Nothing is held any more of what waits. */
  letGo(): void {
    const letters = this.#waiting.splice(0);
    this.#hold(-this.#characters);
    for (const { at, done, event, n } of letters) {
      this.#lack(n, (event.since ?? event.seq - 1) + 1, at);
      done(0);
    }
  }

  /** The lobby may lack events of these jobs: since its outage if there is one, else it is not known which. */
  bringNewest(jobs: Iterable<number>): void {
    for (const n of jobs) this.#lack(n, Number.POSITIVE_INFINITY, this.#route.now(), this.#outage?.since);
    this.go();
  }

  /** It may lack events of any job below a number, from an instant on (ms). */
  search(since: number, below: number): void {
    this.#search = { since, below };
    this.go();
  }

  /** Goes, unless it is under way or pauses. */
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

  /** Goes through jobs until something waits, or there is enough for a message; a stretch in a turn, for there may be very many, and many lobbies. */
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

  /** The next message, and how much is held for it. */
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
      // So that a lobby that knows nothing of the job, for it slept, knows what it lacks.
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
