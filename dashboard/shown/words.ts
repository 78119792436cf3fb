/** Numbers, times and names as people read them. */

/** 1234.5 -> "1,235"; small numbers keep one digit after the point. */
export function count(value: number): string {
  const digits = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** 1 -> "1 job"; `word` is the singular. */
export function counted(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

const UNITS: readonly [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** The two largest units: 125 -> "2 min 5 s". */
export function duration(seconds: number): string {
  let left = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount > 0) parts.push(`${amount} ${unit}`);
    // 1 d 4 s would claim too much precision.
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0 s";
}

export function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

/** a, b and c */
export function listed(words: string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/**
 * A given name, as text that does nothing to the text around it: control characters, and characters that change the writing direction or are invisible, are
 * shown by their numbers. Otherwise `a` and `a\u200b` would look like one tenant.
 */
export function name(given: string): string {
  const visible = given.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (each) => `\\u{${each.codePointAt(0)!.toString(16)}}`);
  return visible.trim() === "" ? `"${visible}"` : visible;
}
