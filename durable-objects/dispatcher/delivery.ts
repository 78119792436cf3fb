/**
 * The deltas of one attempt on their way to the mailbox. Law: batches go in order, one at a time, each with its number; the mailbox
 * names the next one that it lacks, so a lost answer or a restarted mailbox causes neither a gap nor a repeat.
 */
import { backoffMs } from "../../policy/backoff.ts";
import { keep } from "../../policy/deltas.ts";
import { FLOW_MS } from "../../policy/spacing.ts";
import { asMeant, asWritten, textOf } from "../../policy/verbatim.ts";
import type { Chunk } from "../../schemas/event.ts";
import type { AppendCall, Appended } from "../../schemas/rpc.ts";
import type { Piece } from "./upstream.ts";

/**
 * A mailbox that cannot be reached is tried again for as long as the answer goes on, and this many times after its end: those pauses add up to a quarter of
 * a minute on average.
 */
const LAST_TRIES = 5;
/** Chunks in a batch: even with the most log probabilities that can be requested, well below the 2 MB of the row that the batch becomes. */
const BATCH_CHUNKS = 200;
/** Characters in a batch, unless a single chunk is larger. */
const BATCH_CHARACTERS = 500_000;
/** A larger chunk, as of a plain answer, fits in no row of 2 MB: what is read along of such an answer is its end alone. */
const CHUNK_BYTES = 1_900_000;

export class Delivery {
  readonly #append: (call: Omit<AppendCall, "job" | "attempt">) => Promise<Appended>;
  /** Batches formed so far; their contents are fixed. */
  readonly #batches: Chunk[][] = [];
  /** Chunks not in a batch yet. */
  readonly #loose: Chunk[] = [];
  #next = 0;
  /** ms that chunks gather between two batches: the mailbox sets it by how many read along. */
  #gapMs = FLOW_MS;
  #watched: boolean;
  readonly #verbatim: boolean;
  #running: Promise<void> | null = null;
  #refused = false;
  /** The mailbox lacks some of the deltas: it stayed out of reach to the last try, or could not store one. */
  isLacking = false;
  #gathering = true;
  /** Failed tries in a row; the end of the answer sets it to 0. */
  #failures = 0;
  #hurry = () => {};

  /** `verbatim`: somebody wants each chunk as upstream wrote it. */
  constructor(watched: boolean, verbatim: boolean, append: (call: Omit<AppendCall, "job" | "attempt">) => Promise<Appended>) {
    this.#watched = watched;
    this.#verbatim = verbatim;
    this.#append = append;
  }

  add({ text, value }: Piece): void {
    // With many readers, pieces of plain text are merged: otherwise each would go to every reader with all that its chunk repeats.
    if (this.#verbatim) this.#loose.push(asWritten(value, text));
    else if (this.#watched && this.#gapMs === FLOW_MS) this.#loose.push(asMeant(value));
    else keep(this.#loose, asMeant(value));
    this.#run();
  }

  /** From now on somebody wants the deltas, including those that came before. */
  watch(): void {
    this.#watched = true;
    this.#run();
  }

  /** Resolves when everything that was added has been taken or refused. Nothing more will be added, so chunks no longer wait for others. */
  async drain(): Promise<void> {
    this.#gathering = false;
    this.#failures = 0;
    this.#hurry();
    while (this.#running) await this.#running;
  }

  /** The call was broken off: nobody waits for the rest. */
  stop(): void {
    this.#refused = true;
    this.#hurry();
  }

  #run(): void {
    if (!this.#watched || this.#refused || this.#running) return;
    this.#running = this.#send().finally(() => {
      this.#running = null;
      if (this.#due()) this.#run();
    });
  }

  /** How many of the loose chunks the next batch takes. */
  #fitting(): number {
    let count = 0;
    for (let characters = 0; count < Math.min(this.#loose.length, BATCH_CHUNKS); count++) {
      characters += textOf(this.#loose[count]!).length;
      if (characters > BATCH_CHARACTERS) break;
    }
    return Math.max(1, count);
  }

  #due(): boolean {
    return !this.#refused && (this.#next < this.#batches.length || this.#loose.length > 0);
  }

  async #send(): Promise<void> {
    while (this.#due()) {
      if (this.#next >= this.#batches.length) {
        const batch = this.#loose.splice(0, this.#fitting());
        if (isTooLarge(batch)) {
          this.#refused = this.isLacking = true;
          return;
        }
        this.#batches.push(batch);
      }
      const began = Promise.resolve(this.#append({ index: this.#next, chunks: this.#batches[this.#next]! }));
      const answer = await began.catch(() => null);
      if (answer === null) {
        await this.#failed();
        continue;
      }
      this.#failures = 0;
      if (!answer.ok || answer.need > this.#batches.length) this.#refused = true;
      else [this.#next, this.#gapMs] = [answer.need, answer.gapMs];
      // It pauses even if nothing is due, so that what comes meanwhile does not go piece by piece.
      if (this.#gathering && !this.#refused && this.#loose.length < BATCH_CHUNKS) await this.#pause(this.#gapMs);
    }
  }

  async #failed(): Promise<void> {
    this.#failures++;
    if (!this.#gathering && this.#failures > LAST_TRIES) this.#refused = this.isLacking = true;
    else await this.#pause(backoffMs(this.#failures, Math.random(), null));
  }

  /** Waits this long, or until `drain` or `stop`. */
  #pause(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#hurry = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}

function isTooLarge(batch: Chunk[]): boolean {
  if (batch.length > 1) return false;
  const text = JSON.stringify(batch);
  return text.length > BATCH_CHARACTERS && new TextEncoder().encode(text).length > CHUNK_BYTES;
}
