/** What happens to a job, as the client reports it. */
import type { ToldEvent } from "../schemas/event.ts";
import type { Eta, Job, JobEnd } from "../schemas/job.ts";

/** A piece of a streamed answer: OpenAI's `chat.completion.chunk`, as far as the client reads it. */
export type Chunk = { choices: { index?: number; delta: { content?: string | null; [more: string]: unknown } }[]; [more: string]: unknown };

/** `seq` counts a job's events from 1. */
type Numbered<Name, Data> = { job: string; seq: number; event: Name; data: Data };

/**
 * `delta`: part of the answer, with the chunks that came together. One that stands for several has the last one's `seq`, and the first one's in `from`.
 * `retrying`: another attempt follows, whose deltas start over. A job's last event is its end, with the job in its final state.
 */
export type Event =
  | Numbered<"queued", Job>
  | Numbered<"position", { position: number; eta: Eta }>
  | Numbered<"in_progress", unknown>
  | (Numbered<"delta", { chunks: Chunk[] }> & { from?: number })
  | Numbered<"retrying", unknown>
  | EndEvent;
export type EndEvent = Numbered<JobEnd, Job>;

/** Checked against schemas/: the event names are the same. */
const ENDS: Record<JobEnd, true> = { completed: true, failed: true, cancelled: true, expired: true };

/** Whether this is a job's last event. */
export function isEnd(event: Event): event is EndEvent {
  return Object.hasOwn(ENDS, event.event);
}

/** Whether a job has ended. */
export function hasEnded(job: Job): boolean {
  return Object.hasOwn(ENDS, job.status);
}

/** The text that a delta adds to the first choice; "" for all other events. */
export function textOf(event: Event): string {
  if (event.event !== "delta") return "";
  return event.data.chunks.map(({ choices }) => choices.find(({ index = 0 }) => index === 0)?.delta.content ?? "").join("");
}

export function eventFrom({ job, from, seq, event, data }: ToldEvent): Event {
  return { job, seq, event, data, ...(from !== undefined && { from }) } as Event;
}
