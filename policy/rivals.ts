/** When a flow's rivals last started a job: what it owes to rivals is kept while they are away for a moment, and no longer. */
import type { Lane } from "./lane.ts";

/**
 * A client that sends its next job only after its last call has ended is away for as long as calls last. Whoever comes later than this is owed nothing, ms.
 */
const AWAY_MS = 300_000;

/** The flow that started a job last, when it did, and when any other flow last did, ms. */
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

  /** Whether no flow but this one has started for `AWAY_MS`. Live work and batches are not rivals of each other. */
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

/** A copy: what is written down must not change later. */
function copyOf({ live, batches }: Lasts): Lasts {
  return { ...(live ? { live: { ...live } } : {}), ...(batches ? { batches: { ...batches } } : {}) };
}
