/**
 * Builds one JSON value from the deltas of a stream. Law: the work for a delta is proportional to the delta, never to
 * what came before; elements that come whole (without an index) are kept by reference, not copied.
 *
 * Strings grow by `+=`: V8 keeps the pieces as a rope and flattens it once, when the text is first read.
 */
export type JsonObject = Record<string, unknown>;

/** Indexes of choices above this are nonsense: OpenAI allows 128. */
export const INDEX_LIMIT = 1_000;

/** Levels below a delta that are merged; anything deeper is taken whole, so that no nesting overflows the stack. */
const DEPTH_LIMIT = 32;

/**
 * Strings that name a thing: when repeated (some endpoints send them in each chunk), they are replaced, not appended to.
 * openai-node does so with ids and names, openai-python with `type`; OpenRouter repeats `format` in `reasoning_details`.
 */
const NAMES: ReadonlySet<string> = new Set(["id", "type", "name", "role", "format"]);

/** A growing object. A Map, because its keys come from outside. */
export class Fields {
  readonly slots = new Map<string, unknown>();
}

/** A growing array: elements with the same index are merged; those without an index follow in order of arrival. */
export class List {
  readonly indexed = new Map<number, Fields>();
  readonly loose: unknown[] = [];
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isIndex(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= INDEX_LIMIT;
}

/** The own keys of an object, except the one that would set its prototype when written. */
export function keysOf(from: JsonObject): string[] {
  const keys = Object.keys(from);
  return keys.includes("__proto__") ? keys.filter((key) => key !== "__proto__") : keys;
}

/** Merges a delta into a growing object. Never throws. */
export function grow(into: Fields, delta: JsonObject, depth = 0): void {
  for (const key of keysOf(delta)) into.slots.set(key, merged(key, into.slots.get(key), delta[key], depth));
}

function merged(key: string, before: unknown, next: unknown, depth: number): unknown {
  if (typeof next === "string") {
    if (typeof before !== "string") return next;
    return NAMES.has(key) ? next || before : before + next;
  }
  // Null in a delta means "nothing new" for what grows: DeepSeek sends `reasoning_content: null` beside each `content`.
  if (next === null || next === undefined) return growing(before) ? before : null;
  if (typeof next !== "object" || depth >= DEPTH_LIMIT) return next;
  if (Array.isArray(next)) {
    const list = before instanceof List ? before : new List();
    for (const element of next) append(list, element, depth + 1);
    return list;
  }
  const fields = before instanceof Fields ? before : new Fields();
  grow(fields, next as JsonObject, depth + 1);
  return fields;
}

function growing(value: unknown): boolean {
  return typeof value === "string" || (typeof value === "object" && value !== null);
}

function append(list: List, element: unknown, depth: number): void {
  const index = isObject(element) ? element.index : null;
  // Nothing of an answer is left out: what has no place of its own comes last.
  if (typeof index !== "number" || !Number.isSafeInteger(index) || index < 0) {
    list.loose.push(element);
    return;
  }
  let fields = list.indexed.get(index);
  if (fields === undefined) {
    fields = new Fields();
    list.indexed.set(index, fields);
  }
  grow(fields, element as JsonObject, depth);
}

/** The plain JSON value so far; it may go on growing afterwards. */
export function plain(value: unknown): unknown {
  if (value instanceof Fields) return plainObject(value);
  if (!(value instanceof List)) return value;
  return [...inOrder(value.indexed).map(plainObject), ...value.loose];
}

export function plainObject(fields: Fields): JsonObject {
  const object: JsonObject = {};
  for (const [key, value] of fields.slots) object[key] = plain(value);
  return object;
}

/** The values of a map by ascending index. */
export function inOrder<Value>(byIndex: Map<number, Value>): Value[] {
  return [...byIndex].sort(([one], [other]) => one - other).map(([, value]) => value);
}
