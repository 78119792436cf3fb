/** What the order asks of the budget. */
import type { Kind } from "./lane.ts";
import type { Line } from "./packing.ts";
import type { Waiting } from "./queue.ts";

/**
 * `aside`: the job may not start, but keeps nobody waiting; if it was the next, it has left the line. `lane`: only this flow must wait (its tenant's own cap),
 * until `readmit` or a change of its jobs. `requests`, `tokens`: the pool lacks that resource. `pool`: all must wait.
 */
export type Answer = "start" | "aside" | "lane" | "pool" | Kind;

export type Gate = {
  /** Starts a job if it may start, and then reserves its budget. `ahead`: it is not the next job, but may go before that one. */
  starts: (waiting: Waiting, ahead?: boolean) => Answer;
  /** A job's dominant cost, in ms of the pool's rate. `tokens`: as if it took this many. */
  costMs: (waiting: Waiting, tokens?: number) => number;
  /** How much later the head can start if the job goes ahead of it, judging by one resource, ms. */
  delayMs: (waiting: Waiting, resource: Kind, head: Waiting) => number;
  /** The resource that is about to be left unused unless jobs of its kind go before the next one; null: neither. */
  idle: (head: Waiting, line: Pick<Line, "large" | "small">) => Kind | null;
  /** ms */
  now: number;
};
