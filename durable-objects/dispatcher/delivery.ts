/**
 * The deltas of one attempt on their way to the mailbox. Law: batches go in order, one at a time, each with its number; the mailbox
 * names the one that it lacks, so a lost answer or a restarted mailbox costs neither a gap nor a repeat.
 */
import { keep } from "../../policy/deltas.ts";
import { FLOW_MS } from "../../policy/spacing.ts";
import type { AppendCall, Appended } from "../../schemas/rpc.ts";

/** Chunks in a batch: with the most log probabilities that can be asked for, well below the 2 MB of the row that it becomes. */
const BATCH_CHUNKS = 200;

export class Delivery {
  readonly #append: (call: Omit<AppendCall, "job" | "attempt">) => Promise<Appended>;
  /** Batches formed so far; their contents are fixed. */
  readonly #batches: unknown[][] = [];
  /** Chunks not in a batch yet. */
  readonly #loose: unknown[] = [];
  #next = 0;
  /** ms that chunks gather between two batches: the mailbox says how many read along. */
  #gapMs = FLOW_MS;
  #watched: boolean;
  #running: Promise<void> | null = null;
  #refused = false;
  #gathering = true;
  #hurry = () => {};

  constructor(watched: boolean, append: (call: Omit<AppendCall, "job" | "attempt">) => Promise<Appended>) {
    this.#watched = watched;
    this.#append = append;
  }

  add(chunk: unknown): void {
    // Where many read along, pieces of plain text travel as one: each would go to every reader with all that a chunk says beside.
    if (this.#watched && this.#gapMs === FLOW_MS) this.#loose.push(chunk);
    else keep(this.#loose, chunk);
    this.#run();
  }

  /** Somebody wants the deltas from now on, those of the past included. */
  watch(): void {
    this.#watched = true;
    this.#run();
  }

  /** Resolves when all that was added so far has been taken or refused. Nothing is added any more: nothing is waited for. */
  async drain(): Promise<void> {
    this.#gathering = false;
    this.#hurry();
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
      else [this.#next, this.#gapMs] = [answer.need, answer.gapMs];
      // Also when nothing is due: what comes meanwhile is not to go piece by piece.
      if (this.#gathering && !this.#refused && this.#loose.length < BATCH_CHUNKS) await this.#gather();
    }
  }

  /** Waits for the rest of the gap, or until `drain`. */
  #gather(): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, this.#gapMs);
      this.#hurry = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}
