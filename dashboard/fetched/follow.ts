/**
 * Follows the queue as it changes, for as long as somebody looks. `EventSource` cannot send headers, so the stream is read by hand. A connection that ends or
 * falls silent is opened again; a refused key is not tried again.
 */
import { createParser } from "eventsource-parser";
import { type Backoff, backoffMs, pause } from "../../client/backoff.ts";
import type { QueueState } from "../../schemas/queue.ts";
import type { Connection } from "../shown/connection.ts";
import { type Fetch, headersOf, refusal } from "./ask.ts";

const PATH = "/v1/queue/stream";
const BACKOFF: Backoff = { baseMs: 500, capMs: 15_000 };
/** The service sends something at least every 15 s. */
export const SILENCE_MS = 35_000;

/** `heard`: something arrived, so the service is there and the last state still holds. */
export type Told = { connection: (connection: Connection) => void; state: (state: QueueState) => void; heard: () => void };
/** A state cannot be read: the service was probably deployed again after the page was loaded. */
class Unreadable extends Error {}

export type World = { fetch: Fetch; random: () => number };

/** Resolves when the signal fires, or the key is refused. */
export async function follow(key: string, told: Told, signal: AbortSignal, world: World): Promise<void> {
  told.connection({ state: "connecting" });
  for (let tries = 1; !signal.aborted; tries++) {
    const state = (state: QueueState) => {
      tries = 0;
      told.state(state);
    };
    const end = await once(key, { ...told, state }, signal, world);
    if (signal.aborted) return;
    told.connection(end);
    if (end.state === "refused") return;
    await pause(backoffMs(BACKOFF, Math.max(1, tries), world.random()), signal).catch(() => {});
  }
}

/** One connection; resolves to the page's connection state after it ends. */
async function once(key: string, told: Told, signal: AbortSignal, world: World): Promise<Connection> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  heard();
  try {
    const init = { headers: headersOf(key), signal: AbortSignal.any([signal, silence.signal]), cache: "no-store" as const };
    const response = await world.fetch(PATH, init);
    if (!response.ok) return refused(await refusal(response));
    await read(response, told, heard);
    return { state: "reconnecting", why: "the service ended the connection" };
  } catch (error) {
    if (error instanceof Unreadable) return { state: "reconnecting", why: "the service's data cannot be read; reload this page" };
    return { state: "reconnecting", why: silence.signal.aborted ? "the service stopped sending data" : "the service cannot be reached" };
  } finally {
    clearTimeout(timer);
  }
}

/** @throws when the connection breaks, or what comes is not a state. */
async function read(response: Response, told: Told, heard: () => void): Promise<void> {
  const parser = createParser({
    onEvent: ({ data, event }) => {
      if (event !== "queue") return;
      try {
        told.state(JSON.parse(data) as QueueState);
      } catch (cause) {
        throw new Unreadable("a state cannot be shown", { cause });
      }
      told.connection({ state: "live" });
    },
  });
  const decoder = new TextDecoder();
  const reader = response.body!.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      told.heard();
      parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** 429 and 5xx pass; any other 4xx is our own fault and would come again. */
function refused({ message, status }: { status: number; message: string }): Connection {
  if (status >= 400 && status < 500 && status !== 429 && status !== 408) return { state: "refused", status, message };
  return { state: "reconnecting", why: message };
}
