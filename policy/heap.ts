/**
 * A binary min-heap whose items may change rank or leave; whoever changes an item calls `place` or `remove`. Each item keeps its own place, -1 when outside.
 * Ranks are numbers. They are copied into their own array when an item is placed, so that of a thousand items most are never looked at.
 */
export class RankedHeap<T> {
  readonly #items: T[] = [];
  readonly #ranks: number[] = [];
  readonly #rankOf: (item: T) => number;
  readonly #placeOf: (item: T) => number;
  readonly #put: (item: T, place: number) => void;
  readonly #isFirst: (a: T, b: T) => boolean;

  /** `isFirst`: decides between two of the same rank; without it, either may come first. */
  constructor(
    rankOf: (item: T) => number,
    placeOf: (item: T) => number,
    put: (item: T, place: number) => void,
    isFirst: (a: T, b: T) => boolean = () => false,
  ) {
    this.#rankOf = rankOf;
    this.#placeOf = placeOf;
    this.#put = put;
    this.#isFirst = isFirst;
  }

  get size(): number {
    return this.#items.length;
  }

  /** In no particular order. */
  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]();
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** The second least. */
  second(): T | undefined {
    const { length } = this.#items;
    return this.#items[length > 2 && this.#isBefore(2, 1) ? 2 : 1];
  }

  /** Visits items from the least on, without removing them. Nothing may be placed or removed meanwhile. */
  walk(): Walk<T> {
    return new Walk(this.#items, (a, b) => this.#isBefore(a, b));
  }

  /** Inserts the item, or moves it to where it belongs by now. */
  place(item: T): void {
    const at = this.#placeOf(item);
    const rank = this.#rankOf(item);
    if (at >= 0) this.#move(at, item, rank);
    else this.#rise(this.#items.push(item) - 1, item, rank);
  }

  /** Removes and returns the least. */
  pop(): T | undefined {
    const least = this.peek();
    if (least !== undefined) this.remove(least);
    return least;
  }

  remove(item: T): void {
    const at = this.#placeOf(item);
    if (at < 0) return;
    this.#put(item, -1);
    const last = this.#items.pop()!;
    const rank = this.#ranks.pop()!;
    if (last !== item) this.#move(at, last, rank);
  }

  /** Moves an item that may have changed up or down. */
  #move(at: number, item: T, rank: number): void {
    if (at > 0 && this.#comesBefore(item, rank, (at - 1) >> 1)) this.#rise(at, item, rank);
    else this.#sink(at, item, rank);
  }

  #rise(from: number, item: T, rank: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#comesBefore(item, rank, parent)) break;
      this.#set(at, this.#items[parent]!, this.#ranks[parent]!);
      at = parent;
    }
    this.#set(at, item, rank);
  }

  #sink(from: number, item: T, rank: number): void {
    const { length } = this.#items;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && this.#isBefore(child + 1, child)) child++;
      if (!this.#comesAfter(item, rank, child)) break;
      this.#set(at, this.#items[child]!, this.#ranks[child]!);
      at = child;
    }
    this.#set(at, item, rank);
  }

  #set(at: number, item: T, rank: number): void {
    this.#items[at] = item;
    this.#ranks[at] = rank;
    this.#put(item, at);
  }

  /** Compares two places. */
  #isBefore(a: number, b: number): boolean {
    const first = this.#ranks[a]!;
    const second = this.#ranks[b]!;
    return first < second || (first === second && this.#isFirst(this.#items[a]!, this.#items[b]!));
  }

  /** Whether an item belongs before the one at a place. */
  #comesBefore(item: T, rank: number, place: number): boolean {
    const other = this.#ranks[place]!;
    return rank < other || (rank === other && this.#isFirst(item, this.#items[place]!));
  }

  #comesAfter(item: T, rank: number, place: number): boolean {
    const other = this.#ranks[place]!;
    return other < rank || (rank === other && this.#isFirst(this.#items[place]!, item));
  }
}

/** Visits a heap from the least item on. Looks only at the items returned and at the candidates for the next, at most one more than those returned. */
export class Walk<T> {
  readonly #items: readonly T[];
  readonly #isBefore: (a: number, b: number) => boolean;
  /** Places whose parents have been returned, the least last. */
  readonly #edge: number[];

  constructor(items: readonly T[], isBefore: (a: number, b: number) => boolean) {
    this.#items = items;
    this.#isBefore = isBefore;
    this.#edge = items.length > 0 ? [0] : [];
  }

  next(): T | undefined {
    const at = this.#edge.pop();
    if (at === undefined) return undefined;
    this.#reach(2 * at + 1);
    this.#reach(2 * at + 2);
    return this.#items[at];
  }

  #reach(place: number): void {
    if (place >= this.#items.length) return;
    const edge = this.#edge;
    let at = edge.push(place) - 1;
    for (; at > 0 && this.#isBefore(edge[at - 1]!, place); at--) edge[at] = edge[at - 1]!;
    edge[at] = place;
  }
}
