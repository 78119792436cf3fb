/** Measures a JSON text before it is parsed: 31 MB of brackets take a parser half a minute, and ten million empty objects take a gigabyte. */
import { NESTING_LIMIT } from "../../schemas/nesting.ts";

/** Characters; anything shorter is parsed within a fraction of a second, whatever it contains. */
const HARMLESS = 256 * 1024;
/** Nesting of arrays and objects: what a request may have, plus what it is wrapped in. */
const DEPTH_LIMIT = NESTING_LIMIT + 8;
/** Values in a text: enough for ten thousand jobs of two hundred each. */
const VALUES_LIMIT = 2_000_000;

/** Why this text must not be parsed; null if it may be. Invalid JSON is judged as well as possible. */
export function excessOf(text: string): string | null {
  if (text.length <= HARMLESS) return null;
  let depth = 0;
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        values++;
        if (++depth > DEPTH_LIMIT) return `is nested more than ${DEPTH_LIMIT} levels deep`;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
        values++;
    }
    if (values > VALUES_LIMIT) return `has more than ${VALUES_LIMIT} values`;
  }
  return null;
}

/** The end of the string that begins at `from`, or the end of the text if the string is unterminated. */
function endOfString(text: string, from: number): number {
  let at = text.indexOf('"', from + 1);
  while (at >= 0 && isEscaped(text, at)) at = text.indexOf('"', at + 1);
  return at < 0 ? text.length : at;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes++;
  return backslashes % 2 === 1;
}
