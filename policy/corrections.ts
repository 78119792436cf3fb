/** Recent corrections, made by answers, to what we believe is spent. Levels noted before a correction do not contain it. */
import type { Kind } from "./levels.ts";

/** An answer's headers are older than this only if its dispatcher was cut off for a long time. */
const REMEMBERED_MS = 60_000;

/** `since`: levels from this instant (ms) on contain it. `amount`: negative if it is free again. */
type Correction = { kind: Kind; since: number; amount: number };

export class Corrections {
  #all: Correction[] = [];

  add(kind: Kind, amount: number, now: number): void {
    this.#all = [...this.#all.filter(({ since }) => since > now - REMEMBERED_MS), { kind, since: now, amount }];
  }

  /** Sum of the corrections after an instant (ms), which the level of that instant does not contain. */
  since(kind: Kind, at: number): number {
    return this.#all.reduce((sum, each) => sum + (each.kind === kind && each.since > at ? each.amount : 0), 0);
  }

  /** What became free again from an instant (ms) on. */
  backSince(kind: Kind, at: number): number {
    return this.#all.reduce((sum, each) => sum + (each.kind === kind && each.since >= at ? Math.max(0, -each.amount) : 0), 0);
  }
}
