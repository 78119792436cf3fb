import type { JobEnd } from "./job.ts";

export type EventName = "queued" | "position" | "in_progress" | "delta" | "retrying" | JobEnd;

/** One entry of a job's log. `seq` begins at 1 and has no gaps. */
export type JobEvent = {
  job: string;
  seq: number;
  event: EventName;
  data: unknown;
  /** Place in the channel's order of events, set only where it is needed. Clients see cursors instead. */
  place?: number;
  /** On an event sent live: `seq` of the last event before it that is not a delta, so that a reader without deltas notices a gap too. */
  prior?: number;
  /** On an event that stands in for others that could not be sent: everything after this `seq` was left out. */
  since?: number;
};

/** A chunk of an answer on its way through Sluice: a plain object, or upstream's own JSON as a string (policy/verbatim.ts). Clients get parsed values. */
export type Chunk = object | string;

/** An event as a client receives it. A delta with `from` stands for every delta from that `seq` to its own. */
export type ToldEvent = JobEvent & { from?: number };
