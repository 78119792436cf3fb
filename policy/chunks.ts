/** Chunks of an answer as the caller asked for them. Sluice always asks upstream for usage; not every caller did. */
import type { Chunk } from "../schemas/event.ts";
import { WHOLE_AUDIO } from "./completion/choice.ts";
import { meaningOf, textOf } from "./verbatim.ts";

type Json = Record<string, unknown>;
type Choice = Json & { index: number; message: Json; finish_reason: unknown };

/** A `usage` of null in JSON text, with the comma before or after it. Quotes inside a JSON string are escaped, so a match is always a key and its value. */
const NO_USAGE = /,\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*/g;

/** The JSON of a chunk as upstream would have written it without `stream_options.include_usage`; null if it would not have sent the chunk. */
export function withoutUsage(chunk: Chunk): string | null {
  const value = meaningOf(chunk);
  if (!isObject(value) || !("usage" in value)) return textOf(chunk);
  const { usage, ...rest } = value;
  if (usage !== null && Array.isArray(rest.choices) && rest.choices.length === 0) return null;
  const json = JSON.stringify(rest);
  if (typeof chunk !== "string" || usage !== null) return json;
  // A match may be another `usage`, nested deeper.
  for (const { 0: found, index } of chunk.matchAll(NO_USAGE)) {
    const cut = chunk.slice(0, index) + chunk.slice(index + found.length);
    if (JSON.stringify(JSON.parse(cut)) === json) return cut;
  }
  return json;
}

/** Tells from the chunks seen so far whether all choices of the answer have finished: by a finish reason, or by complete audio, which may come without one. */
export class Ending {
  readonly #finished = new Set<unknown>();
  /** By choice, the audio fields seen so far. */
  readonly #audio = new Map<unknown, Set<string>>();
  readonly #choices: number;

  /** `choices`: how many the answer has, the request's `n`. */
  constructor(choices: number) {
    this.#choices = choices;
  }

  add(chunk: unknown): void {
    if (!isObject(chunk) || !Array.isArray(chunk.choices)) return;
    for (const choice of chunk.choices) {
      if (!isObject(choice)) continue;
      if (choice.finish_reason != null || this.#hasHeard(choice)) this.#finished.add(choice.index);
    }
  }

  #hasHeard({ delta, index }: Json): boolean {
    if (!isObject(delta) || !isObject(delta.audio)) return false;
    const told = this.#audio.get(index) ?? new Set();
    this.#audio.set(index, told);
    for (const [key, value] of Object.entries(delta.audio)) if (value !== null) told.add(key);
    return WHOLE_AUDIO.every((key) => told.has(key));
  }

  get reached(): boolean {
    return this.#finished.size >= this.#choices;
  }
}

/** A plain completion as a stream of as few chunks as possible: the choices, then the usage if it was asked for. */
export function chunksOf(completion: Json, includeUsage: boolean): Json[] {
  const { choices, usage, ...rest } = completion;
  const top = { ...rest, object: "chat.completion.chunk" };
  const streamed = (choices as Choice[]).map(({ message, ...choice }) => ({ ...choice, delta: deltaOf(message) }));
  if (!includeUsage) return [{ ...top, choices: streamed }];
  return [
    { ...top, choices: streamed, usage: null },
    { ...top, choices: [], usage },
  ];
}

/** The same of what an endpoint that knows no streams answered; if it is no completion, it is one chunk, as it is. */
export function chunksIn(answer: unknown): unknown[] {
  if (!isObject(answer) || !Array.isArray(answer.choices)) return [answer];
  if (!answer.choices.every((choice) => isObject(choice) && isObject(choice.message))) return [answer];
  return chunksOf(answer, isObject(answer.usage));
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** In a delta each tool call carries its index. */
function deltaOf(message: Json): Json {
  if (!Array.isArray(message.tool_calls)) return message;
  return { ...message, tool_calls: message.tool_calls.map((call: Json, index) => ({ index, ...call })) };
}
