/**
 * The deltas of one attempt on their way to the mailbox. Law: batches go in order, one at a time, each with its number; the mailbox
 * names the one that it lacks, so a lost answer or a restarted mailbox costs neither a gap nor a repeat.
 */
import { keep } from "../../policy/deltas.ts";
import type { AppendCall, Appended } from "../../schemas/rpc.ts";

/** Chunks that come within this time travel together: a person sees 20 frames a second as a flow. */
const SPACING_MS = 50;

/** Chunks in a batch: with the most log probabilities that can be asked for, well below the 2 MB of the row that it becomes. */
const BATCH_CHUNKS = 200;

export class Delivery {
  readonly #append: (call: Omit<AppendCall, "job" | "attempt">) => Promise<Appended>;
  /** Batches formed so far; their contents are fixed. */
  readonly #batches: unknown[][] = [];
  /** Chunks not in a batch yet. */
  readonly #loose: unknown[] = [];
  #next = 0;
  #watched: boolean;
  #running: Promise<void> | null = null;
  #refused = false;

  constructor(watched: boolean, append: (call: Omit<AppendCall, "job" | "attempt">) => Promise<Appended>) {
    this.#watched = watched;
    this.#append = append;
  }

  add(chunk: unknown): void {
    if (this.#watched) this.#loose.push(chunk);
    else keep(this.#loose, chunk);
    this.#run();
  }

  /** Somebody wants the deltas from now on, those of the past included. */
  watch(): void {
    this.#watched = true;
    this.#run();
  }

  /** Resolves when all that was added so far has been taken or refused. */
  async drain(): Promise<void> {
    while (this.#running) await this.#running;
  }

  #run(): void {
    if (!this.#watched || this.#refused || this.#running) return;
    this.#running = this.#send().finally(() => {
      this.#running = null;
      if (this.#due()) this.#run();
    });
  }

  #due(): boolean {
    return !this.#refused && (this.#next < this.#batches.length || this.#loose.length > 0);
  }

  async #send(): Promise<void> {
    while (this.#due()) {
      if (this.#next >= this.#batches.length) {
        this.#batches.push(this.#loose.splice(0, BATCH_CHUNKS));
      }
      const began = Promise.resolve(this.#append({ index: this.#next, chunks: this.#batches[this.#next]! }));
      const answer = await began.catch((): Appended => ({ ok: false }));
      if (!answer.ok || answer.need > this.#batches.length) this.#refused = true;
      else this.#next = answer.need;
      if (this.#due() && this.#loose.length < BATCH_CHUNKS) await new Promise((done) => setTimeout(done, SPACING_MS));
    }
  }
}
