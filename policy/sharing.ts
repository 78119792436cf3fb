/**
 * Whether others spend from a pool's windows. If they do, a window is not spent at once, because only answers in between tell what is left; and a part of it
 * is left to them: otherwise all that comes back would be ours, because we know when it does.
 */
import { type Budget, spendEvenly } from "./budget.ts";

/** `least`: others were seen if at least this much was not ours. `ms`: how long they are then thought to be there. */
const SEEN = { least: 1, ms: 600_000 };

export class Sharing {
  #until = Number.NEGATIVE_INFINITY;

  /** This much was spent that was not ours, or a call of this much was refused. */
  seen(amount: number, now: number): void {
    if (amount >= SEEN.least) this.#until = now + SEEN.ms;
  }

  isSeen(now: number): boolean {
    return now < this.#until;
  }

  keep(budget: Budget): void {
    spendEvenly(budget, this.#until);
  }
}
