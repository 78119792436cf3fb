/**
 * Levels of arrays and objects in a request. Deeper values can be parsed but not written back: `JSON.stringify` recurses, and overflows
 * workerd's stack at about 3,000 levels. No tool's schema comes near the limit.
 */
export const NESTING_LIMIT = 500;

/** Whether a JSON value has more levels than `limit`. Not recursive itself. */
export function isNestedDeeper(value: unknown, limit: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    const inside: unknown[] = [];
    for (const each of level) {
      if (typeof each !== "object" || each === null) continue;
      if (depth >= limit) return true;
      for (const child of Array.isArray(each) ? each : Object.values(each))
        if (typeof child === "object" && child !== null) inside.push(child);
    }
    level = inside;
  }
  return false;
}

/** A JSON value with null in place of all that lies deeper than `limit` levels. */
export function cutDeeper(value: unknown, limit: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (limit === 0) return null;
  if (Array.isArray(value)) return value.map((each) => cutDeeper(each, limit - 1));
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, cutDeeper(each, limit - 1)]));
}
