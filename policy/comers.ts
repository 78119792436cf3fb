/**
 * Who waits, in the order of their coming. Law: what calls give back at their end is between those who waited when they started; over who came later it gives no advantage. A flow that had
 * been alone, and had reserved more than it used, had eight starts for one of who came, until all of that was given back: by then he was behind by 18 of the largest jobs.
 */
import type { Lane } from "./lane.ts";

/** What a job was charged for at its start, in tokens; and how many had come by then. */
export type Charged = { readonly tokens: number; readonly since: number };

/** Those that left are dropped when there are so many more than wait. */
const LEFT = 64;

export class Comers {
  /** How many have come. */
  count = 0;
  readonly #waiting = new Map<Lane, number>();
  #order: { lane: Lane; came: number }[] = [];
  #returns = 0;

  add(lane: Lane): void {
    this.#waiting.set(lane, ++this.count);
    this.#order.push({ lane, came: this.count });
    if (this.#order.length > 2 * this.#waiting.size + LEFT) this.#order = this.#order.filter((each) => this.#stays(each));
  }

  remove(lane: Lane): void {
    this.#waiting.delete(lane);
  }

  /** A lane gets back something of a call from before `since`: who came after that gets what the others have of it on average. */
  share(lane: Lane, back: number, since: number): void {
    // One that has left has it forgiven on return: to give it to others would put those behind who were there.
    if (!this.#waiting.has(lane)) return;
    const later: Lane[] = [];
    for (let index = this.#order.length - 1; index >= 0 && this.#order[index]!.came > since; index--)
      if (this.#stays(this.#order[index]!)) later.push(this.#order[index]!.lane);
    const others = Math.max(1, this.#waiting.size - later.length);
    for (const each of later) if (each !== lane) each.credit += back / others;
    if (++this.#returns >= this.#waiting.size) this.#forget();
  }

  #stays({ came, lane }: { lane: Lane; came: number }): boolean {
    return this.#waiting.get(lane) === came;
  }

  /** What all have in common changes nothing between them. Given back start by start, it would keep what they differ by from counting for as long. Now and then, for each is looked at. */
  #forget(): void {
    this.#returns = 0;
    let common = Number.POSITIVE_INFINITY;
    for (const { credit } of this.#waiting.keys()) common = Math.min(common, credit);
    if (common > 0 && common < Number.POSITIVE_INFINITY) for (const lane of this.#waiting.keys()) lane.credit -= common;
  }
}
