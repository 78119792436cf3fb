/**
 * A min-heap of what is planned: by instant, then in the order in which it was added. A world has ten million events, so instants and orders are kept in arrays
 * of plain numbers, and four children per parent take half as many steps as two.
 */
export class MinHeap<T> {
  readonly #ats: number[] = [];
  readonly #orders: number[] = [];
  readonly #items: T[] = [];
  #pushed = 0;

  /** The earliest instant; null if nothing is planned. */
  get least(): number | null {
    return this.#items.length > 0 ? this.#ats[0]! : null;
  }

  push(at: number, item: T): void {
    const [ats, orders, items] = [this.#ats, this.#orders, this.#items];
    const order = this.#pushed++;
    let index = items.length;
    ats.push(at);
    orders.push(order);
    items.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 2;
      // It was added last, so among equal instants it comes last.
      if (ats[parent]! <= at) break;
      this.#move(parent, index);
      index = parent;
    }
    ats[index] = at;
    orders[index] = order;
    items[index] = item;
  }

  pop(): T | undefined {
    const [ats, orders, items] = [this.#ats, this.#orders, this.#items];
    const least = items[0];
    const at = ats.pop();
    const order = orders.pop();
    const last = items.pop();
    if (at === undefined || items.length === 0) return least;
    const { length } = items;
    let index = 0;
    for (let child = 1; child < length; child = 4 * index + 1) {
      let first = child;
      const end = Math.min(child + 4, length);
      for (let each = child + 1; each < end; each++) if (comesFirst(ats[each]!, orders[each]!, ats[first]!, orders[first]!)) first = each;
      if (!comesFirst(ats[first]!, orders[first]!, at, order!)) break;
      this.#move(first, index);
      index = first;
    }
    ats[index] = at;
    orders[index] = order!;
    items[index] = last!;
    return least;
  }

  #move(from: number, to: number): void {
    this.#ats[to] = this.#ats[from]!;
    this.#orders[to] = this.#orders[from]!;
    this.#items[to] = this.#items[from]!;
  }
}

function comesFirst(at: number, order: number, otherAt: number, otherOrder: number): boolean {
  return at < otherAt || (at === otherAt && order < otherOrder);
}
