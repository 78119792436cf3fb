/**
 * Events between a socket and a reader. The reader may be slow, and a socket cannot be told to wait. So unread deltas of one job that follow each other are
 * merged, and once the unread events exceed a bound, `full` tells the connection to close. It is reopened when everything has been read and resumes by seq, so
 * nothing is lost: the service keeps what the client does not.
 */
import type { Event } from "./events.ts";
import type { Arrived } from "./flow.ts";

/** Characters of frames; about 8 MB of memory. */
export const BUFFER_CHARACTERS = 4_000_000;

/** An event, and what it came in. `cursor`: for a consumer. */
export type Entry = Arrived & { event: Event; cursor: number | null };
type Reader = { done: (entry: Entry | null) => void; fail: (error: unknown) => void };
type End = { error: unknown } | "over";

export class EventBuffer {
  #entries: Entry[] = [];
  #characters = 0;
  /** Readers waiting for events that have not come, first come first served. */
  #readers: Reader[] = [];
  #end: End | null = null;
  #drained: (() => void)[] = [];

  get full(): boolean {
    return this.#characters >= BUFFER_CHARACTERS;
  }

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  push(entry: Entry): void {
    if (this.#end) return;
    const reader = this.#readers.shift();
    if (reader) {
      reader.done(entry);
      return;
    }
    this.#characters += entry.characters;
    const last = this.#entries.at(-1);
    if (last?.flow !== entry.flow || !joins(last.event, entry.event)) this.#entries.push(entry);
    else {
      last.frames += entry.frames;
      last.characters += entry.characters;
      last.cursor = entry.cursor;
    }
  }

  /** The next event; null after the last. @throws what `fail` or `abort` was given. */
  take(): Promise<Entry | null> {
    const next = this.#entries.shift();
    if (next) this.#characters -= next.characters;
    if (this.#entries.length === 0) this.#release();
    if (next) return Promise.resolve(next);
    if (this.#end) return this.#end === "over" ? Promise.resolve(null) : Promise.reject(this.#end.error);
    return new Promise((done, fail) => {
      this.#readers.push({ done, fail });
    });
  }

  /** No more events follow. Unread ones can still be read. */
  finish(): void {
    this.#end ??= "over";
    for (const reader of this.#readers.splice(0)) reader.done(null);
    this.#release();
  }

  /** Like `finish`, but with an error at the end. */
  fail(error: unknown): void {
    this.#end ??= { error };
    for (const reader of this.#readers.splice(0)) reader.fail(error);
    this.#release();
  }

  /** Like `fail`, but at once: unread events are dropped. */
  abort(reason: unknown): void {
    this.#entries = [];
    this.#characters = 0;
    this.#end = null;
    this.fail(reason);
  }

  /** Resolves when everything has been taken, or nothing more can come. */
  drained(): Promise<void> {
    return this.#entries.length === 0 || this.#end ? Promise.resolve() : new Promise((done) => this.#drained.push(done));
  }

  #release(): void {
    for (const done of this.#drained.splice(0)) done();
  }
}

/** Merges a delta into the preceding one of the same job; false if the two are no such pair. */
function joins(last: Event, event: Event): boolean {
  if (event.event !== "delta" || last.event !== "delta" || last.job !== event.job) return false;
  last.from ??= last.seq;
  last.seq = event.seq;
  for (const chunk of event.data.chunks) last.data.chunks.push(chunk);
  return true;
}
