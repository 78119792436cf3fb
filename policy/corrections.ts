/** What answers corrected of what we believe is spent, of late: the levels of before do not have it. */
import type { Kind } from "./levels.ts";

/** An answer's headers are older than this only if its dispatcher was cut off for long. */
const REMEMBERED_MS = 60_000;

/** `since`: from when on the levels have it, ms; `amount`: negative where it is free again. */
type Correction = { kind: Kind; since: number; amount: number };

export class Corrections {
  #all: Correction[] = [];

  add(kind: Kind, amount: number, now: number): void {
    this.#all = [...this.#all.filter(({ since }) => since > now - REMEMBERED_MS), { kind, since: now, amount }];
  }

  /** All that was learned after an instant (ms), and is not in the level of then. */
  since(kind: Kind, at: number): number {
    return this.#all.reduce((sum, each) => sum + (each.kind === kind && each.since > at ? each.amount : 0), 0);
  }

  /** What became free again from an instant (ms) on. */
  backSince(kind: Kind, at: number): number {
    return this.#all.reduce((sum, each) => sum + (each.kind === kind && each.since >= at ? Math.max(0, -each.amount) : 0), 0);
  }
}
