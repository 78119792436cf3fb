/** When others had something last: what a flow owes to such as competed with it is kept while they are away for a moment, and no longer. */
import type { Lane } from "./lane.ts";

/** Who sends its next job when its last call has ended is away for as long as calls last. Who comes after that finds nothing owed, ms. */
const AWAY_MS = 300_000;

/** The flow that started last, when, and when the last of any other did, ms. */
export type Last = { flow: string; at: number; otherAt: number };
export type Lasts = Partial<Record<"live" | "batches", Last>>;

export class Rivals {
  #lasts: Lasts = {};

  /** A flow starts a job. */
  started({ flow, yields }: Lane, now: number): void {
    const kind = yields ? "batches" : "live";
    const last = this.#lasts[kind];
    if (!last) {
      this.#lasts[kind] = { flow, at: now, otherAt: now };
      return;
    }
    if (last.flow !== flow) last.otherAt = last.at;
    last.flow = flow;
    last.at = now;
  }

  /** Whether none but this flow has started for so long. Batches are no rivals of what is live. */
  areGone({ flow, yields }: Lane, now: number): boolean {
    const last = this.#lasts[yields ? "batches" : "live"];
    if (!last) return false;
    return now - (last.flow === flow ? last.otherAt : last.at) > AWAY_MS;
  }

  /** To be written down, for `recall` after a restart. */
  get lasts(): Lasts {
    return copyOf(this.#lasts);
  }

  recall(lasts: Lasts): void {
    this.#lasts = copyOf(lasts);
  }
}

/** What is written down stays as it was. */
function copyOf({ live, batches }: Lasts): Lasts {
  return { ...(live ? { live: { ...live } } : {}), ...(batches ? { batches: { ...batches } } : {}) };
}
