import type { Random } from "./random.ts";

// Each entry is one token as a tokeniser would see it: a word with the space before it.
const WORDS = (
  "the a of to and in that is for it with as on be by this which from are at each when can one more most first then only while " +
  "queue request token budget limit minute answer model stream account system result work order time rate cost share window " +
  "keeps waits moves holds shows gives takes makes needs means leaves follows depends arrives starts returns grows falls stays " +
  "small large fair early late steady simple careful useful common likely whole single shared clear short long next same other " +
  "before after between across under within without because however therefore usually often together slowly quickly again"
)
  .split(" ")
  .map((word) => ` ${word}`);

const capital = (word: string) => word[1]!.toUpperCase() + word.slice(2);
const OPENERS = WORDS.map(capital);
const SPACED_OPENERS = OPENERS.map((word) => ` ${word}`);

/** Plausible prose of exactly `length` tokens: sentences of 6 to 18 words, an occasional comma, a new paragraph every few sentences. */
export function writeProse(random: Random, length: number): string[] {
  const tokens: string[] = [];
  let left = 0;
  while (tokens.length < length) {
    if (left === 0) {
      tokens.push(random.pick(tokens.length === 0 || tokens.at(-1) === ".\n\n" ? OPENERS : SPACED_OPENERS));
      left = random.integer(5, 17);
    } else if (--left === 0 || tokens.length === length - 1) {
      tokens.push(random.next() < 0.15 && tokens.length < length - 1 ? ".\n\n" : ".");
      left = 0;
    } else {
      tokens.push(left > 3 && random.next() < 0.07 && tokens.at(-1) !== "," ? "," : random.pick(WORDS));
    }
  }
  return tokens;
}

export function anotherWord(pick: number): string {
  return WORDS[Math.floor(pick * WORDS.length)]!;
}

export function writePhrase(random: Random): string {
  return writeProse(random, random.integer(3, 6)).slice(0, -1).join("");
}

/** Splits any text into token-sized pieces that join to exactly that text. A long run without spaces becomes several tokens. */
export function splitTokens(text: string, size = 12): string[] {
  return text.match(new RegExp(`\\s*\\S{1,${size}}|\\s+`, "gu")) ?? [];
}
