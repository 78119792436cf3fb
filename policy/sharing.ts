/**
 * Whether others spend of the windows of a pool. Where they do, nothing goes at once, for only answers in between tell what is left; and a part is left to them: whatever comes
 * back would be ours else, for we know when.
 */
import { type Budget, spendEvenly } from "./budget.ts";

/** They were seen if so much at the least was not ours; and are thought to be there for so long, ms. */
const SEEN = { least: 1, ms: 600_000 };

export class Sharing {
  #until = Number.NEGATIVE_INFINITY;

  /** So much was spent that was not ours; or a call was refused. */
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
