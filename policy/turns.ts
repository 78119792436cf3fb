/** Whose turn it is: the flow's with the least virtual time. */
import { RankedHeap } from "./heap.ts";
import type { Kind, Lane } from "./lane.ts";

/** Lanes by their turn, each with jobs of this kind. */
export function byTurn(kind: Kind): RankedHeap<Lane> {
  return new RankedHeap<Lane>(
    comesFirst,
    (lane) => lane.slots[kind],
    (lane, place) => {
      lane.slots[kind] = place;
    },
  );
}

export function comesFirst(a: Lane, b: Lane): boolean {
  return a.virtual < b.virtual || (a.virtual === b.virtual && isNamedFirst(a, b));
}

/** Who is first of those that were served alike. */
export function isNamedFirst(a: Lane, b: Lane): boolean {
  return a.yields === b.yields ? a.flow < b.flow : b.yields;
}
