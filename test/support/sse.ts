/** Reads Server-Sent Events as a client would. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { EventName } from "../../schemas/event.ts";

export type Told = { seq: number; event: EventName; data: unknown };

/** Reads a job's events until `last` has come or the answer ends; then stops reading. */
export async function read(response: Response, last?: EventName | ((told: Told[]) => boolean)): Promise<Told[]> {
  const told: Told[] = [];
  const isLast = typeof last === "function" ? last : (all: Told[]) => all.at(-1)?.event === last;
  const messages = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { id, event, data } of messages) {
    told.push({ seq: Number(id), event: event as EventName, data: JSON.parse(data) });
    if (isLast(told)) break;
  }
  return told;
}
