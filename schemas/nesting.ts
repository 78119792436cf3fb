/**
 * Levels of lists and objects in a request. What is nested deeper can be read, but not written again: `JSON.stringify` recurses, and overflows workerd's
 * stack at about 3,000 levels. No schema of a tool comes near.
 */
export const NESTING_LIMIT = 500;

/** Whether a value of JSON has more levels than that; without recursion of its own. */
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
