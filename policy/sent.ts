/**
 * What readers were sent of jobs: for each job the last seq of each reader. Law: what is remembered is what was put last; of what is forgotten, since all
 * readers together have a bound, everything of a job goes at once, the job longest unheard of first.
 *
 * Readers of a channel are told the same: a job's readers are kept as crowds, all that have it up to the same seq, and a reader in a crowd is a bit.
 */

/** Of 4 bytes, for all readers of an object, which has 128 MB for everything: 24 MB. Two thousand jobs told to nine thousand readers take a fifth. */
const WORDS_LIMIT = 6_000_000;
/** What a job takes by itself, and a reader that is in no crowd. */
const JOB_WORDS = 64;
const STRAY_WORDS = 16;
/** A crowd up to this size is a list. */
const FEW = 32;
/** Of one job: to find a reader they are looked through. Readers of the smallest stray beyond that. */
const CROWDS_LIMIT = 8;
/** Numbers of readers that left are given out again once there are so many: to find out where they stand takes a look at every job. */
const LEFT_LIMIT = 256;

export class Sent {
  readonly #jobs = new Map<string, Told>();
  readonly #wordsLimit: number;
  #words = 0;
  /** Of the job that was put last: most puts are of the same. */
  #newest: Told | null = null;
  /** Numbers that no reader ever had begin here. */
  #fresh = 0;
  #free: number[] = [];
  #left: number[] = [];

  constructor(wordsLimit = WORDS_LIMIT) {
    this.#wordsLimit = wordsLimit;
  }

  reader(): SentTo {
    return new SentTo(this);
  }

  join(): number {
    return this.#free.pop() ?? this.#fresh++;
  }

  leave(reader: number): void {
    this.#left.push(reader);
    if (this.#left.length < LEFT_LIMIT) return;
    const left = new Set(this.#left);
    for (const [job, told] of this.#jobs) {
      this.#changed(told, () => told.drop(left));
      if (told.empty) this.#forget(job, told);
    }
    this.#free.push(...this.#left);
    this.#left = [];
  }

  of(reader: number, job: string): number | undefined {
    return this.#jobs.get(job)?.of(reader);
  }

  put(reader: number, job: string, seq: number): void {
    const told = this.#jobs.get(job) ?? new Told();
    if (told !== this.#newest) {
      if (!this.#jobs.delete(job)) this.#words += told.words;
      this.#jobs.set(job, told);
      this.#newest = told;
    }
    this.#changed(told, () => told.put(reader, seq));
    for (const [oldest, its] of this.#jobs) {
      if (this.#words <= this.#wordsLimit) return;
      this.#forget(oldest, its);
    }
  }

  #changed(told: Told, change: () => void): void {
    const before = told.words;
    change();
    this.#words += told.words - before;
  }

  #forget(job: string, told: Told): void {
    this.#jobs.delete(job);
    this.#words -= told.words;
    if (told === this.#newest) this.#newest = null;
  }
}

/** What one reader was sent. It has no number before it was sent something, nor after it left. */
export class SentTo {
  readonly #all: Sent;
  #number: number | null = null;
  #gone = false;

  constructor(all: Sent) {
    this.#all = all;
  }

  /** The last seq of a job; undefined if nothing was sent, or that is forgotten. */
  of(job: string): number | undefined {
    return this.#number === null ? undefined : this.#all.of(this.#number, job);
  }

  put(job: string, seq: number): void {
    if (this.#gone) return;
    this.#number ??= this.#all.join();
    this.#all.put(this.#number, job, seq);
  }

  leave(): void {
    if (this.#number !== null) this.#all.leave(this.#number);
    this.#number = null;
    this.#gone = true;
  }
}

/** The readers of one job. */
class Told {
  /** The newest first. */
  #crowds: Crowd[] = [];
  readonly #strays = new Map<number, number>();

  get words(): number {
    let words = JOB_WORDS + this.#strays.size * STRAY_WORDS;
    for (const crowd of this.#crowds) words += crowd.words;
    return words;
  }

  get empty(): boolean {
    return this.#crowds.length === 0 && this.#strays.size === 0;
  }

  of(reader: number): number | undefined {
    for (const crowd of this.#crowds) if (crowd.has(reader)) return crowd.seq;
    return this.#strays.get(reader);
  }

  put(reader: number, seq: number): void {
    let crowd = this.#crowds.find((each) => each.seq === seq);
    if (crowd?.has(reader)) return;
    this.#drop(reader);
    if (!crowd) {
      crowd = new Crowd(seq);
      if (this.#crowds.length === CROWDS_LIMIT) this.#disperse();
      this.#crowds.unshift(crowd);
    }
    crowd.add(reader);
  }

  drop(readers: ReadonlySet<number>): void {
    for (const reader of readers) this.#strays.delete(reader);
    for (const crowd of this.#crowds) crowd.drop(readers);
    this.#crowds = this.#crowds.filter(({ size }) => size > 0);
  }

  #drop(reader: number): void {
    const index = this.#crowds.findIndex((each) => each.has(reader));
    if (index < 0) {
      this.#strays.delete(reader);
      return;
    }
    const crowd = this.#crowds[index]!;
    crowd.delete(reader);
    if (crowd.size === 0) this.#crowds.splice(index, 1);
  }

  #disperse(): void {
    const smallest = this.#crowds.reduce((least, each) => (each.size < least.size ? each : least));
    this.#crowds.splice(this.#crowds.indexOf(smallest), 1);
    for (const reader of smallest.readers()) this.#strays.set(reader, smallest.seq);
  }
}

/** Readers that have a job up to the same seq. */
class Crowd {
  readonly seq: number;
  size = 0;
  /** Null once they are many. */
  #few: number[] | null = [];
  #bits = new Uint32Array(0);

  constructor(seq: number) {
    this.seq = seq;
  }

  get words(): number {
    return this.#few ? this.#few.length : this.#bits.length;
  }

  has(reader: number): boolean {
    if (this.#few) return this.#few.includes(reader);
    return (((this.#bits[reader >>> 5] ?? 0) >>> (reader & 31)) & 1) === 1;
  }

  /** One that is not in it. */
  add(reader: number): void {
    this.size++;
    if (this.#few && this.#few.length < FEW) {
      this.#few.push(reader);
      return;
    }
    const few = this.#few ?? [];
    this.#few = null;
    for (const each of [...few, reader]) this.#set(each);
  }

  delete(reader: number): void {
    if (!this.has(reader)) return;
    this.size--;
    if (this.#few) this.#few.splice(this.#few.indexOf(reader), 1);
    else this.#bits[reader >>> 5]! &= ~(1 << (reader & 31));
  }

  drop(readers: ReadonlySet<number>): void {
    for (const reader of this.#few ? [...this.#few].filter((each) => readers.has(each)) : readers) this.delete(reader);
  }

  *readers(): Generator<number> {
    if (this.#few) yield* this.#few;
    else for (let reader = 0; reader < this.#bits.length * 32; reader++) if (this.has(reader)) yield reader;
  }

  #set(reader: number): void {
    const word = reader >>> 5;
    if (word >= this.#bits.length) {
      const wider = new Uint32Array(Math.max(word + 1, Math.ceil(this.#bits.length * 1.5)));
      wider.set(this.#bits);
      this.#bits = wider;
    }
    this.#bits[word]! |= 1 << (reader & 31);
  }
}
