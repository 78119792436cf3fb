/**
 * Chunks written compactly and without loss. In a stream of text each chunk repeats the one before it except for a word: only that word is
 * written, some 10 characters instead of 250. Law: what is read is what was written, to the byte of its JSON.
 */
import type { Chunk } from "../schemas/event.ts";

type Pattern = { choices: [{ delta: { content: string } }]; obfuscation?: string };

/**
 * In order: a chunk that differs from the pattern only in its content; the same with padding of its own (`obfuscation`); a chunk as it came. For a chunk that
 * is a text: the whole of it, or what differs from the text before it, with which it shares `head` characters at its beginning and `tail` at its end.
 */
export type Short =
  | string
  | [content: string, obfuscation: string]
  | object
  | [text: string]
  | [head: number, tail: number, middle: string];

/** The pattern is the last chunk written in full that has one choice, whose delta carries content and nothing else. */
export class Shorthand {
  #pattern: Pattern | null = null;
  /** The last chunk that is a text. */
  #text: string | null = null;

  write(chunk: Chunk): Short {
    if (typeof chunk === "string") return this.#writeText(chunk);
    const short = this.#pattern && shorten(chunk, this.#pattern);
    if (short !== null) return short;
    if (isPattern(chunk)) this.#pattern = chunk;
    return chunk;
  }

  /** Reads back what one writer wrote, in the same order. */
  read(short: Short): Chunk {
    if (typeof short === "string") return fill(this.#pattern!, short);
    if (Array.isArray(short)) return short.length === 2 ? fill(this.#pattern!, ...(short as [string, string])) : this.#readText(short);
    if (isPattern(short)) this.#pattern = short;
    return short;
  }

  #writeText(text: string): Short {
    const before = this.#text;
    this.#text = text;
    if (before === null) return [text];
    const most = Math.min(before.length, text.length);
    let head = 0;
    while (head < most && before.charCodeAt(head) === text.charCodeAt(head)) head++;
    let tail = 0;
    while (tail < most - head && before.charCodeAt(before.length - 1 - tail) === text.charCodeAt(text.length - 1 - tail)) tail++;
    return [head, tail, text.slice(head, text.length - tail)];
  }

  #readText(short: unknown[]): string {
    const [head, tail, middle] = short as [number, number, string];
    const before = this.#text ?? "";
    this.#text = short.length === 1 ? (short as [string])[0] : before.slice(0, head) + middle + before.slice(before.length - tail);
    return this.#text;
  }
}

/** Null if it differs from the pattern by more than content and padding. */
function shorten(chunk: object, pattern: Pattern): Short | null {
  if (!isPattern(chunk)) return null;
  const { choices, obfuscation } = chunk;
  const { content } = choices[0].delta;
  const json = JSON.stringify(chunk);
  if (JSON.stringify(fill(pattern, content)) === json) return content;
  return typeof obfuscation === "string" && JSON.stringify(fill(pattern, content, obfuscation)) === json ? [content, obfuscation] : null;
}

function fill(pattern: Pattern, content: string, obfuscation = pattern.obfuscation): Pattern {
  const [choice] = pattern.choices;
  return {
    ...pattern,
    choices: [{ ...choice, delta: { ...choice.delta, content } }],
    ...(obfuscation !== undefined && { obfuscation }),
  };
}

function isPattern(chunk: object): chunk is Pattern {
  const { choices } = chunk as { choices?: unknown };
  if (!Array.isArray(choices) || choices.length !== 1) return false;
  const delta = (choices[0] as { delta?: Record<string, unknown> | null } | null)?.delta;
  return typeof delta === "object" && delta !== null && typeof delta.content === "string" && Object.keys(delta).length === 1;
}
