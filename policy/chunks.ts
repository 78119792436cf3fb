/** Chunks of an answer as the caller asked for them. Sluice always asks upstream for usage; not every caller did. */
type Json = Record<string, unknown>;
type Choice = Json & { index: number; message: Json; finish_reason: unknown };

/** The chunk as upstream would have sent it without `stream_options.include_usage`; null if it would not have. */
export function withoutUsage(chunk: Json): Json | null {
  if (!("usage" in chunk)) return chunk;
  const { usage, ...rest } = chunk;
  return usage !== null && Array.isArray(chunk.choices) && chunk.choices.length === 0 ? null : rest;
}

/** Tells from the chunks that passed whether the answer's last choice has finished. */
export class Ending {
  readonly #finished = new Set<unknown>();
  readonly #choices: number;

  /** `choices`: how many the answer has, the request's `n`. */
  constructor(choices: number) {
    this.#choices = choices;
  }

  add(chunk: Json): void {
    for (const { finish_reason, index } of (chunk.choices ?? []) as Choice[]) if (finish_reason != null) this.#finished.add(index);
  }

  get reached(): boolean {
    return this.#finished.size >= this.#choices;
  }
}

/** A plain completion as a stream of as few chunks as can be: the choices, and the usage if it is asked for. */
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

/** In a delta each tool call bears its index. */
function deltaOf(message: Json): Json {
  if (!Array.isArray(message.tool_calls)) return message;
  return { ...message, tool_calls: message.tool_calls.map((call: Json, index) => ({ index, ...call })) };
}
