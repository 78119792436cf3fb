/** How much a JSON text holds, before it is parsed: 31 MB of brackets take a parser half a minute, and ten million empty objects a gigabyte. */
import { NESTING_LIMIT } from "../../schemas/nesting.ts";

/** Shorter ones are parsed in any case within a fraction of a second. */
const HARMLESS = 256 * 1024;
/** Lists and objects, one in the other: those of a request, and of what it comes in. */
const DEPTH_LIMIT = NESTING_LIMIT + 8;
/** Values in a text. Ten thousand jobs of two hundred each. */
const VALUES_LIMIT = 2_000_000;

/** Why this text is not to be parsed; null if it is. Texts that are no JSON are judged as well as they can be. */
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
        if (++depth > DEPTH_LIMIT) return `nested more than ${DEPTH_LIMIT} levels deep`;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
        values++;
    }
    if (values > VALUES_LIMIT) return `of more than ${VALUES_LIMIT} values`;
  }
  return null;
}

/** Where the string ends that begins at `from`; the end of the text if it does not. */
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
