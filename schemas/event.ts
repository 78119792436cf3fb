import type { JobEnd } from "./job.ts";

export type EventName = "queued" | "position" | "in_progress" | "delta" | "retrying" | JobEnd;

/** One entry of a job's log. `seq` begins at 1 and has no gaps. */
export type JobEvent = {
  job: string;
  seq: number;
  event: EventName;
  data: unknown;
  /** In the order of its channel, if anybody needs that; clients are told cursors instead. */
  place?: number;
  /** Of one that is told as it happens: the seq of the event before it that is no delta. So who takes no deltas knows a gap too. */
  prior?: number;
  /** Of one that is told in place of others that could not be: what came after this seq was not told. */
  since?: number;
};

/** A chunk of an answer on its way through Sluice: an object as it is, or a text that is upstream's JSON (policy/verbatim.ts). Clients are told values. */
export type Chunk = object | string;

/** As a client may be told it: a delta with `from` stands for all from that seq up to its own. */
export type ToldEvent = JobEvent & { from?: number };
