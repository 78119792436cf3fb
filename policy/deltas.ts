/** Chunks of a stream, kept for a watcher who may come late: runs of plain content become one chunk. */
import type { Chunk, JobEvent, ToldEvent } from "../schemas/event.ts";
import { asMeant, meaningOf } from "./verbatim.ts";

type Plain = { choices: [{ index: number; delta: { content: string }; logprobs?: null; finish_reason?: null }]; usage?: null };

/** The only keys that a chunk of plain content may have; `obfuscation` is padding against eavesdroppers. */
const CHUNK_KEYS = new Set(["id", "object", "created", "model", "system_fingerprint", "service_tier", "obfuscation", "choices", "usage"]);
const CHOICE_KEYS = new Set(["index", "delta", "logprobs", "finish_reason"]);

/** Appends a chunk, or merges it into the last one if both carry only a piece of the same choice's content. Changes `kept`. */
export function keep(kept: Chunk[], chunk: Chunk): void {
  const last = kept[kept.length - 1];
  if (isPlain(chunk) && isPlain(last) && chunk.choices[0].index === last.choices[0].index) {
    const [choice] = last.choices;
    kept[kept.length - 1] = {
      ...last,
      choices: [{ ...choice, delta: { content: choice.delta.content + chunk.choices[0].delta.content } }],
    };
  } else {
    kept.push(chunk);
  }
}

/** Characters that each chunk counts for, merged or not, because reading it takes time. */
const CHUNK_CHARACTERS = 50;

/**
 * The first events of a job, in order, until `room` (characters) is used up; the last one may exceed it. Reads at most one event more. `more`: whether others
 * follow. `melts`: consecutive deltas become one, with the last one's seq.
 */
export function pageOf(events: Iterable<JobEvent>, room: number, melts: boolean): { events: ToldEvent[]; more: boolean } {
  const told: ToldEvent[] = [];
  let left = room;
  for (const event of events) {
    if (left <= 0) return { events: told, more: true };
    if (!melts || event.event !== "delta") {
      told.push(event);
      left -= JSON.stringify(event).length;
      continue;
    }
    const last = told.at(-1);
    if (last?.event !== "delta") told.push({ ...event, from: event.seq, data: { chunks: [] } });
    const open = told.at(-1)!;
    open.seq = event.seq;
    for (const chunk of chunksOf(event)) left -= melt(chunksOf(open), asMeant(meaningOf(chunk)));
  }
  return { events: told, more: false };
}

/** Adds a chunk to `kept`. Returns the characters that it takes. */
function melt(kept: Chunk[], chunk: Chunk): number {
  const before = kept.length;
  keep(kept, chunk);
  const grown = kept.length > before || !isPlain(chunk) ? chunk : chunk.choices[0].delta.content;
  return CHUNK_CHARACTERS + JSON.stringify(grown).length;
}

function chunksOf({ data }: JobEvent): Chunk[] {
  return (data as { chunks: Chunk[] }).chunks;
}

function isPlain(chunk: Chunk | undefined): chunk is Plain {
  if (typeof chunk !== "object") return false;
  const { choices, usage } = chunk as Partial<Plain>;
  if (!Array.isArray(choices) || choices.length !== 1 || (usage ?? null) !== null) return false;
  if (!knows(CHUNK_KEYS, chunk) || !knows(CHOICE_KEYS, choices[0] ?? {})) return false;
  const { delta, logprobs, finish_reason } = choices[0] ?? {};
  if ((logprobs ?? null) !== null || (finish_reason ?? null) !== null || typeof delta !== "object" || delta === null) return false;
  return typeof delta.content === "string" && Object.keys(delta).length === 1;
}

function knows(keys: Set<string>, value: object): boolean {
  return Object.keys(value).every((key) => keys.has(key));
}
