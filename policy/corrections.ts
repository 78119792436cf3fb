/** What was corrected of a pool's levels of late, and since when they have it (ms); below nothing: what came back. */
import type { Kind } from "./levels.ts";

/** An answer's headers are older than this only if its dispatcher was cut off for long. */
const REMEMBERED_MS = 60_000;

export class Corrections {
  #all: { kind: Kind; since: number; amount: number }[] = [];

  note(kind: Kind, amount: number, now: number): void {
    this.#all = [...this.#all.filter(({ since }) => since > now - REMEMBERED_MS), { kind, since: now, amount }];
  }

  /** What was learned after an instant is not in the level of then. */
  since(kind: Kind, at: number): number {
    return this.#all.reduce((sum, each) => sum + (each.kind === kind && each.since > at ? each.amount : 0), 0);
  }

  /** What came back, of whatever kind, from an instant on. */
  backSince(at: number): number {
    return this.#all.reduce((sum, each) => sum + (each.since >= at ? Math.max(0, -each.amount) : 0), 0);
  }
}
