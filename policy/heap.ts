/** A binary min-heap whose items may change their rank or leave: whoever changes one says so. Each item keeps its own place, -1 outside. */
export class RankedHeap<T> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;
  readonly #placeOf: (item: T) => number;
  readonly #put: (item: T, place: number) => void;

  constructor(before: (a: T, b: T) => boolean, placeOf: (item: T) => number, put: (item: T, place: number) => void) {
    this.#before = before;
    this.#placeOf = placeOf;
    this.#put = put;
  }

  get size(): number {
    return this.#items.length;
  }

  /** In no order. */
  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]();
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** The least but one. */
  second(): T | undefined {
    const [, a, b] = this.#items;
    return a !== undefined && b !== undefined && this.#before(b, a) ? b : a;
  }

  /** Takes the item in, or to where it belongs by now. */
  place(item: T): void {
    const at = this.#placeOf(item);
    if (at >= 0) this.#move(at, item);
    else this.#rise(this.#items.push(item) - 1, item);
  }

  /** Takes the least out. */
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
    if (last !== item) this.#move(at, last);
  }

  /** An item that may have changed goes up or down. */
  #move(at: number, item: T): void {
    if (at > 0 && this.#before(item, this.#items[(at - 1) >> 1]!)) this.#rise(at, item);
    else this.#sink(at, item);
  }

  #rise(from: number, item: T): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(item, this.#items[parent]!)) break;
      this.#set(at, this.#items[parent]!);
      at = parent;
    }
    this.#set(at, item);
  }

  #sink(from: number, item: T): void {
    const items = this.#items;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1]!, items[child]!)) child++;
      if (!this.#before(items[child]!, item)) break;
      this.#set(at, items[child]!);
      at = child;
    }
    this.#set(at, item);
  }

  #set(at: number, item: T): void {
    this.#items[at] = item;
    this.#put(item, at);
  }
}
