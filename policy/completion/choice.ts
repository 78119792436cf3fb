/** One choice of a streamed chat completion, grown from its deltas into the choice of a plain answer. */
import { Fields, grow, isObject, type JsonObject, keysOf, plainObject } from "./fold.ts";

export type Choice = {
  index: number;
  /** The message so far; its tool calls still have their indexes. */
  message: Fields;
  /** Null until a chunk carries log probabilities. */
  logprobs: Fields | null;
  finishReason: string | null;
  /** Fields of the choice that Sluice does not know, such as Azure's `content_filter_results`. */
  others: Map<string, unknown>;
};

const isString = (value: unknown): boolean => typeof value === "string";

/** The known fields of a delta, and the type that each must have unless null; anything else under these keys is ignored. */
const KINDS: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ["content", isString],
  ["refusal", isString],
  ["tool_calls", Array.isArray],
  ["function_call", isObject],
  ["annotations", Array.isArray],
  ["audio", isObject],
]);
/** Fields of a choice that are handled separately. `message` belongs to plain answers only. */
const KNOWN: ReadonlySet<string> = new Set(["index", "delta", "message", "logprobs", "finish_reason"]);

export function openChoice(index: number): Choice {
  return { index, message: new Fields(), logprobs: null, finishReason: null, others: new Map() };
}

/** Adds an element of a chunk's `choices`. Never throws. */
export function addToChoice(choice: Choice, from: JsonObject): void {
  if (isObject(from.delta)) grow(choice.message, sensible(from.delta));
  if (isObject(from.logprobs)) {
    choice.logprobs ??= new Fields();
    grow(choice.logprobs, from.logprobs);
  }
  if (typeof from.finish_reason === "string") choice.finishReason = from.finish_reason;
  for (const key of keysOf(from)) if (!KNOWN.has(key)) keepLast(choice.others, key, from[key]);
}

/** Sets a value. Null does not replace an earlier value: the last that says something wins. */
export function keepLast(into: Map<string, unknown>, key: string, value: unknown): void {
  if (value === undefined || (value === null && into.has(key))) return;
  into.set(key, value);
}

/** The delta itself or, in the rare case that a known field has the wrong type, a copy without that field. */
function sensible(delta: JsonObject): JsonObject {
  const wrong = Object.keys(delta).filter((key) => delta[key] !== null && KINDS.get(key)?.(delta[key]) === false);
  return wrong.length === 0 ? delta : Object.fromEntries(Object.entries(delta).filter(([key]) => !wrong.includes(key)));
}

/** Fields that a complete audio answer has sent. */
export const WHOLE_AUDIO = ["id", "data", "transcript", "expires_at"];

/**
 * Why the choice ended; null while it has not. OpenAI ends an audio answer with a delta of nothing but the expiry,
 * and may give no reason: complete audio then counts as `stop` (as in openai-node).
 */
export function finishReasonOf(choice: Choice): string | null {
  if (choice.finishReason !== null) return choice.finishReason;
  const audio = choice.message.slots.get("audio");
  if (!(audio instanceof Fields)) return null;
  const whole = WHOLE_AUDIO.every((key) => (audio.slots.get(key) ?? null) !== null);
  return whole ? "stop" : null;
}

/** The choice as a plain answer carries it, keys in OpenAI's order. */
export function plainChoice(choice: Choice): JsonObject {
  const logprobs = choice.logprobs === null ? null : { content: null, refusal: null, ...plainObject(choice.logprobs) };
  const message = plainMessage(choice.message);
  return { index: choice.index, message, logprobs, finish_reason: finishReasonOf(choice), ...Object.fromEntries(choice.others) };
}

function plainMessage(grown: Fields): JsonObject {
  const { role: _, content = null, tool_calls, function_call, refusal = null, annotations, ...others } = plainObject(grown);
  return {
    role: "assistant",
    content,
    ...(Array.isArray(tool_calls) ? { tool_calls: plainCalls(tool_calls) } : {}),
    ...(function_call === undefined ? {} : { function_call }),
    refusal,
    annotations: annotations ?? [],
    ...others,
  };
}

/** Plain tool calls carry no index. */
function plainCalls(calls: unknown[]): JsonObject[] {
  return calls.filter(isObject).map(({ index: _, ...call }) => call);
}
