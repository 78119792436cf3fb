/**
 * What readers were sent of jobs: for each job the last seq of each reader. Law: what is remembered is what was put last; of what is forgotten, since all
 * readers together have a bound, everything of a job goes at once, the job longest unheard of first.
 *
 * Of a job that has ended nothing comes but its end once more, when the news that it arrived was lost: so it is remembered for a while, in a part of the room.
 * Readers that leave leave what they were sent behind, under a number that another is given: what is older than their leave is nobody's.
 */
import { Seqs } from "./seqs.ts";

/** For all readers of an object, which has 128 MB for everything. Two thousand jobs told to nine thousand readers take less than half. */
const BYTES_LIMIT = 16_000_000;
/** The part of it for jobs that have ended: some ten thousand, or a thousand told to nine thousand. */
const ENDED_SHARE = 0.25;
/** A job's place among the others, and its id. Measured, with room: see the test that compares. */
const JOB_BYTES = 190;

/** `leaves`: how many there had been when those who left were last taken out. */
type Told = { seqs: Seqs; leaves: number };

export class Sent {
  readonly #open: Shelf;
  readonly #ended: Shelf;
  readonly #limit: number;
  /** By number: which of all leaves was the last with it, 0 for none. */
  #left: number[] = [];
  #free: number[] = [];
  #leaves = 0;

  constructor(limit = BYTES_LIMIT) {
    this.#limit = limit;
    this.#open = new Shelf();
    this.#ended = new Shelf();
  }

  /** What all this takes, as reckoned. */
  get bytes(): number {
    return this.#open.bytes + this.#ended.bytes;
  }

  reader(): SentTo {
    return new SentTo(this);
  }

  join(): number {
    return this.#free.pop() ?? this.#left.push(0) - 1;
  }

  leave(reader: number): void {
    this.#left[reader] = ++this.#leaves;
    this.#free.push(reader);
    if (this.#free.length < this.#left.length) return;
    this.#open.clear();
    this.#ended.clear();
    [this.#left, this.#free] = [[], []];
  }

  of(reader: number, job: string): number | undefined {
    const told = this.#open.get(job) ?? this.#ended.get(job);
    return told && this.#left[reader]! <= told.leaves ? told.seqs.of(reader) : undefined;
  }

  put(reader: number, job: string, seq: number, isEnd: boolean): void {
    const ended = this.#ended.get(job);
    const shelf = isEnd || ended ? this.#ended : this.#open;
    const told = ended ?? this.#open.get(job) ?? { seqs: new Seqs(), leaves: this.#leaves };
    if (isEnd && !ended) this.#open.delete(job);
    shelf.put(job, told);
    const before = told.seqs.bytes;
    if (told.leaves < this.#leaves) told.seqs.drop((each) => this.#left[each]! > told.leaves);
    told.leaves = this.#leaves;
    told.seqs.put(reader, seq);
    shelf.bytes += told.seqs.bytes - before;
    this.#ended.keep(this.#limit * ENDED_SHARE);
    this.#open.keep(this.#limit - this.#ended.bytes);
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

  /** `isEnd`: with this the job's end was sent. */
  put(job: string, seq: number, isEnd = false): void {
    if (this.#gone) return;
    this.#number ??= this.#all.join();
    this.#all.put(this.#number, job, seq, isEnd);
  }

  leave(): void {
    if (this.#number !== null) this.#all.leave(this.#number);
    this.#number = null;
    this.#gone = true;
  }
}

/** Jobs, the one longest unheard of first. */
class Shelf {
  readonly #jobs = new Map<string, Told>();
  /** The one that was put last: most puts are of the same. */
  #newest: Told | null = null;
  bytes = 0;

  get(job: string): Told | undefined {
    return this.#jobs.get(job);
  }

  /** Puts a job last. */
  put(job: string, told: Told): void {
    if (told === this.#newest) return;
    this.delete(job);
    this.#jobs.set(job, told);
    this.bytes += bytesOf(job, told);
    this.#newest = told;
  }

  delete(job: string): void {
    const told = this.#jobs.get(job);
    if (!told) return;
    this.#jobs.delete(job);
    this.bytes -= bytesOf(job, told);
    if (told === this.#newest) this.#newest = null;
  }

  /** Forgets the jobs longest unheard of for which there is no room. */
  keep(room: number): void {
    if (this.bytes <= room) return;
    for (const job of this.#jobs.keys()) {
      if (this.bytes <= room) return;
      this.delete(job);
    }
  }

  clear(): void {
    this.#jobs.clear();
    this.#newest = null;
    this.bytes = 0;
  }
}

function bytesOf(job: string, { seqs }: Told): number {
  return JOB_BYTES + job.length + seqs.bytes;
}
