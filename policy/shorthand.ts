/**
 * Chunks written down compactly and without loss. In a stream of text each chunk repeats the one before it but for a word: only the word is
 * written, some 10 characters instead of 250. Law: what is read is what was written, to the byte of its JSON.
 */
type Pattern = { choices: [{ delta: { content: string } }]; obfuscation?: string };

/** A chunk like the pattern but for its content; the same, with padding of its own (`obfuscation`); a chunk as it came; one that is no object. */
export type Short = string | [content: string, obfuscation: string] | object | [chunk: unknown];

/** The pattern is the last chunk written in full that carries a piece of one choice's content and nothing else of it. */
export class Shorthand {
  #pattern: Pattern | null = null;

  write(chunk: unknown): Short {
    const short = this.#pattern && shorten(chunk, this.#pattern);
    if (short !== null) return short;
    if (isPattern(chunk)) this.#pattern = chunk;
    return isPlainObject(chunk) ? chunk : [chunk];
  }

  /** Of what one writer wrote, in its order. */
  read(short: Short): unknown {
    if (typeof short === "string") return fill(this.#pattern!, short);
    if (Array.isArray(short)) return short.length === 2 ? fill(this.#pattern!, ...(short as [string, string])) : short[0];
    if (isPattern(short)) this.#pattern = short;
    return short;
  }
}

/** Null if it differs from the pattern by more than content and padding. */
function shorten(chunk: unknown, pattern: Pattern): Short | null {
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

function isPattern(chunk: unknown): chunk is Pattern {
  if (!isPlainObject(chunk)) return false;
  const { choices } = chunk as { choices?: unknown };
  if (!Array.isArray(choices) || choices.length !== 1) return false;
  const delta = (choices[0] as { delta?: Record<string, unknown> | null } | null)?.delta;
  return typeof delta === "object" && delta !== null && typeof delta.content === "string" && Object.keys(delta).length === 1;
}

function isPlainObject(chunk: unknown): chunk is object {
  return typeof chunk === "object" && chunk !== null && !Array.isArray(chunk);
}
