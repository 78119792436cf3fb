/**
 * Chunks of a stream on their way through Sluice. Most look the same written by `JSON.stringify` as by upstream, and travel as values; the others travel
 * as upstream's own text where somebody wants it. Law: `textOf` is what upstream wrote, to the byte; `meaningOf` is what it means.
 */
import type { Chunk, JobEvent } from "../schemas/event.ts";

/** A chunk that somebody wants as it was written. */
export function asWritten(value: unknown, text: string): Chunk {
  return isObject(value) && JSON.stringify(value) === text ? value : text;
}

/** A chunk of which only the meaning is wanted. */
export function asMeant(value: unknown): Chunk {
  return isObject(value) ? value : JSON.stringify(value);
}

export function textOf(chunk: Chunk): string {
  return typeof chunk === "string" ? chunk : JSON.stringify(chunk);
}

export function meaningOf(chunk: Chunk): unknown {
  return typeof chunk === "string" ? JSON.parse(chunk) : chunk;
}

/** Whether an event is a delta with a chunk that is a text. */
export function holdsTexts({ data, event }: JobEvent): boolean {
  return event === "delta" && (data as { chunks: Chunk[] }).chunks.some((chunk) => typeof chunk === "string");
}

/** An event as clients get it: all chunks are values. */
export function meant<E extends JobEvent>(event: E): E {
  return holdsTexts(event) ? { ...event, data: { chunks: (event.data as { chunks: Chunk[] }).chunks.map(meaningOf) } } : event;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
