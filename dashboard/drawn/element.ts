/** Helpers for drawing. Law: whatever comes from the service becomes text, never markup. */

type Attributes = Record<string, string>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Attributes, ...children: Node[]): SVGElementTagNameMap[K] {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** An element of page.html. @throws if it is not there. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const node = document.getElementById(id);
  if (!node) throw new Error(`The page has no element "${id}".`);
  return node as E;
}

export function button(text: string, press: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const node = el("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", press);
  return node;
}

/** Leaves unchanged text alone, so that a selection stays and nothing is read aloud again. */
export function write(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a text, or hides the node. */
export function writeOrHide(node: HTMLElement, text: string | null): void {
  node.hidden = text === null;
  write(node, text ?? "");
}

/** A node's children, one per item. A child stays as long as its item does, keeps its focus, and is filled again. */
export class Children<T> {
  readonly #parent: Element;
  readonly #keyOf: (item: T) => string;
  readonly #make: (item: T) => { node: Element; fill: (item: T) => void };
  readonly #made = new Map<string, { node: Element; fill: (item: T) => void }>();

  constructor(parent: Element, keyOf: (item: T) => string, make: (item: T) => { node: Element; fill: (item: T) => void }) {
    this.#parent = parent;
    this.#keyOf = keyOf;
    this.#make = make;
  }

  fill(items: readonly T[]): void {
    const keys = new Set(items.map(this.#keyOf));
    for (const [key, { node }] of this.#made) {
      if (keys.has(key)) continue;
      node.remove();
      this.#made.delete(key);
    }
    let place = this.#parent.firstElementChild;
    for (const item of items) {
      const key = this.#keyOf(item);
      const child = this.#made.get(key) ?? this.#make(item);
      this.#made.set(key, child);
      child.fill(item);
      if (child.node === place) place = place.nextElementSibling;
      else this.#parent.insertBefore(child.node, place);
    }
  }
}

/** A list of texts, one item each. */
export function lines(parent: Element): (items: readonly string[]) => void {
  const children = new Children<{ text: string; place: number }>(
    parent,
    ({ place }) => String(place),
    () => {
      const node = el("li");
      return { node, fill: ({ text }) => write(node, text) };
    },
  );
  return (items) => children.fill(items.map((text, place) => ({ text, place })));
}
