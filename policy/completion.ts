/**
 * Reassembles streamed `chat.completion.chunk` objects into the plain `chat.completion` object that OpenAI would
 * have returned without `stream`. Law: however an answer is cut into chunks, and however its choices interleave,
 * the same object comes out; a stream that was cut short never passes for a whole one.
 *
 * The `openai` SDK ends its iterator silently when the connection closes early, so the end of the chunks proves
 * nothing: a finish reason for every choice does. The usage that follows the last chunk may be missing: some compatible
 * endpoints send none, and an answer that is complete without it must not be paid for again.
 */
import type { Usage } from "../schemas/job.ts";
import { addToChoice, type Choice, finishReasonOf, keepLast, openChoice, plainChoice } from "./completion/choice.ts";
import { inOrder, isIndex, isObject, type JsonObject, keysOf } from "./completion/fold.ts";

export type AssemblerOptions = {
  /** How many choices the answer must have, the request's `n`; null or absent: one or more. */
  choices?: number | null | undefined;
};

export type Assembled =
  | { complete: true; completion: Record<string, unknown>; usage: Usage | null }
  /** `missing`: the first thing found missing, "choices" or "finish_reason of choice 0". */
  | { complete: false; missing: string };

export type Assembler = {
  /** Adds the next chunk, in time proportional to its size. Never throws on JSON values: what makes no sense is ignored. */
  add(chunk: unknown): void;
  /** The answer from the chunks so far; may be called more than once. It may share parts with the chunks: change neither. */
  result(): Assembled;
};

/** Fields of a chunk that are handled separately. `obfuscation` pads chunks to hide their length; plain answers have none. */
const KNOWN: ReadonlySet<string> = new Set(["object", "choices", "usage", "obfuscation"]);

type State = { top: Map<string, unknown>; choices: Map<number, Choice>; usage: Usage | null };

/** Starts the reassembly of one answer. Never throws. */
export function assembler(options: AssemblerOptions = {}): Assembler {
  const state: State = { top: new Map(), choices: new Map(), usage: null };
  return {
    add(chunk) {
      if (isObject(chunk)) addChunk(state, chunk);
    },
    result() {
      const missing = missingOf(state, options);
      return missing === null ? { complete: true, completion: plainCompletion(state), usage: state.usage } : { complete: false, missing };
    },
  };
}

function addChunk(state: State, chunk: JsonObject): void {
  for (const key of keysOf(chunk)) if (!KNOWN.has(key)) keepLast(state.top, key, chunk[key]);
  if (isUsage(chunk.usage)) state.usage = chunk.usage;
  if (!Array.isArray(chunk.choices)) return;
  for (const from of chunk.choices) {
    if (!isObject(from) || !isIndex(from.index)) continue;
    let choice = state.choices.get(from.index);
    if (choice === undefined) {
      choice = openChoice(from.index);
      state.choices.set(choice.index, choice);
    }
    addToChoice(choice, from);
  }
}

function isUsage(value: unknown): value is Usage {
  return isObject(value) && ["prompt_tokens", "completion_tokens", "total_tokens"].every((key) => Number.isFinite(value[key]));
}

function missingOf(state: State, { choices }: AssemblerOptions): string | null {
  const seen = state.choices.size;
  if (seen === 0 || (typeof choices === "number" && seen !== choices)) return "choices";
  const open = inOrder(state.choices).find((choice) => finishReasonOf(choice) === null);
  return open === undefined ? null : `finish_reason of choice ${open.index}`;
}

function plainCompletion({ top, choices, usage }: State): JsonObject {
  const { id, created, model, service_tier, system_fingerprint, ...others } = Object.fromEntries(top);
  const fields: JsonObject = {
    id,
    object: "chat.completion",
    created,
    model,
    choices: inOrder(choices).map(plainChoice),
    usage: usage ?? undefined,
    service_tier,
    system_fingerprint,
    ...others,
  };
  // What no chunk carried is left out: `undefined` would be a key that OpenAI's answer does not have.
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
