/**
 * What readers were sent of jobs: for each job the last seq of each reader. Law: what is remembered is what was put last. There is a bound for all readers
 * together; to keep it, everything about a job is forgotten at once, the job longest unheard of first.
 *
 * Of a job that has ended, only its end can come once more, when the news that it arrived was lost: so it is remembered for a while, in a part of the room.
 * When a reader leaves, what it was sent stays behind under its number, which another reader is given: anything older than the leave is void.
 */
import { Seqs } from "./seqs.ts";

/** For all readers of an object, which has 128 MB for everything. Two thousand jobs told to nine thousand readers take less than half of the limit. */
const BYTES_LIMIT = 16_000_000;
/** The part of it for jobs that have ended: some ten thousand, or a thousand told to nine thousand readers. */
const ENDED_SHARE = 0.25;
/** A job's entry and its id, without the id's characters. Measured, with a margin: see the test that compares. */
const JOB_BYTES = 190;

/** `leaves`: how many readers had ever left when those were last taken out of `seqs`. */
type Told = { seqs: Seqs; leaves: number };

export class Sent {
  readonly #open: Shelf;
  readonly #ended: Shelf;
  readonly #limit: number;
  /** By reader number: the count of all leaves at the last one under this number, 0 if there was none. */
  #left: number[] = [];
  #free: number[] = [];
  #leaves = 0;

  constructor(limit = BYTES_LIMIT) {
    this.#limit = limit;
    this.#open = new Shelf();
    this.#ended = new Shelf();
  }

  /** What all this takes, estimated. */
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

/** What one reader was sent. It has a number only from when it is first sent something until it leaves. */
export class SentTo {
  readonly #all: Sent;
  #number: number | null = null;
  #gone = false;

  constructor(all: Sent) {
    this.#all = all;
  }

  /** The last seq of a job; undefined if nothing was sent, or it is forgotten. */
  of(job: string): number | undefined {
    return this.#number === null ? undefined : this.#all.of(this.#number, job);
  }

  /** `isEnd`: this was the job's end. */
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
  /** The one that was put last: most puts are of the same job. */
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

  /** Forgets the jobs longest unheard of until the others fit into `room`. */
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
