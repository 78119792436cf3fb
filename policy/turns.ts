/** How flows take turns: the one with the least virtual time is next. Virtual times are in ms of the pool's rate, divided by weight. */
import { RankedHeap } from "./heap.ts";
import { KINDS, type Kind, type Lane } from "./lane.ts";

/** The lanes with work waiting, by virtual time. */
export class Turns {
  /** The lanes with jobs of each kind. */
  readonly of: Readonly<Record<Kind, RankedHeap<Lane>>> = { requests: openHeap("requests"), tokens: openHeap("tokens") };

  /** How many of them are live, and how many are batches. */
  readonly #asking = { live: 0, batches: 0 };

  /** Puts a lane where it belongs. */
  place(lane: Lane): void {
    let asks = false;
    for (const kind of KINDS) {
      const waits = lane.first(kind) !== undefined;
      asks ||= waits;
      if (waits) this.of[kind].place(lane);
      else this.of[kind].remove(lane);
    }
    this.#note(lane, asks);
  }

  remove(lane: Lane): void {
    this.#note(lane, false);
    for (const kind of KINDS) this.of[kind].remove(lane);
  }

  /** Whether no other lane competes with it: batches, being behind all live work, compete only with batches. */
  isAlone(lane: Lane): boolean {
    return this.#asking[lane.yields ? "batches" : "live"] === (lane.asks ? 1 : 0);
  }

  #note(lane: Lane, asks: boolean): void {
    if (asks === lane.asks) return;
    lane.asks = asks;
    this.#asking[lane.yields ? "batches" : "live"] += asks ? 1 : -1;
  }

  least(): Lane | undefined {
    const [a, b] = [this.of.requests.peek(), this.of.tokens.peek()];
    return a && b ? (comesFirst(a, b) ? a : b) : (a ?? b);
  }

  /** Of the lanes with jobs of a kind, the one with the least virtual time, this lane excepted. */
  leastBut(lane: Lane, kind: Kind): Lane | undefined {
    const heap = this.of[kind];
    return heap.peek() === lane ? heap.second() : heap.peek();
  }
}

function openHeap(kind: Kind): RankedHeap<Lane> {
  return new RankedHeap<Lane>(
    ({ virtual }) => virtual,
    ({ slots }) => slots[kind],
    ({ slots }, place) => {
      slots[kind] = place;
    },
    isNamedFirst,
  );
}

function comesFirst(a: Lane, b: Lane): boolean {
  return a.virtual < b.virtual || (a.virtual === b.virtual && isNamedFirst(a, b));
}

/** Whether `a` comes first if both were served alike. */
export function isNamedFirst(a: Lane, b: Lane): boolean {
  return a.yields === b.yields ? a.flow < b.flow : b.yields;
}

/**
 * Another flow. `fair`: how many jobs it starts before a turn if it has that many. `waiting`: how many it has. `inflow`: how many come per start of the pool.
 */
export type Other = { fair: number; waiting: number; inflow: number };

/** The largest share of the pool that others are assumed to take: estimates are not good enough for a smaller rest. */
const MOST_OTHERS = 0.98;
/** Each round finds at least one flow that does not use its turns; nearly always two or three find all. */
const ROUNDS = 8;

/**
 * How many jobs a pool starts before the turn of a job that has `own` of its flow before it. Other flows start what waits and what comes until then, up to
 * their fair share: while they use less than that, what comes to them grows with the wait. Rounds begin with the longest possible wait, and come down to the
 * least that agrees with itself (Newton's steps on a concave function).
 */
export function startsUntil(own: number, others: readonly Other[]): number {
  let starts = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    let known = own;
    let growing = 0;
    for (const { fair, inflow, waiting } of others) {
      if (inflow === 0) known += Math.min(waiting, fair);
      else if (waiting + inflow * starts >= fair) known += fair;
      else {
        known += waiting;
        growing += inflow;
      }
    }
    const next = known / (1 - Math.min(growing, MOST_OTHERS));
    if (starts - next < 1 / 2) return Math.min(starts, next);
    starts = next;
  }
  return starts;
}
