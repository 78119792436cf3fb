/** What the order asks of the budget. */
import type { Kind } from "./lane.ts";
import type { Line } from "./packing.ts";
import type { Waiting } from "./queue.ts";

/** `aside`: it may not start, and keeps nobody waiting; as the next, it stands in line no more. `lane`: only this flow must wait (its tenant's own cap), until `readmit` or a change of its jobs. `requests`, `tokens`: the pool lacks that resource. `pool`: all must wait. */
export type Answer = "start" | "aside" | "lane" | "pool" | Kind;

export type Gate = {
  /** Lets a job go; has then reserved for it. `ahead`: it is not the next, but may go before that. */
  starts: (waiting: Waiting, ahead?: boolean) => Answer;
  /** Its dominant cost, in ms of the pool's rate; or as if it took so many tokens. */
  costMs: (waiting: Waiting, tokens?: number) => number;
  /** How much later the head can start if the job goes ahead of it, as far as one resource tells, ms. */
  delayMs: (waiting: Waiting, resource: Kind, head: Waiting) => number;
  /** The resource that is about to be lost unless jobs of its kind go before the next; null: neither. */
  idle: (head: Waiting, line: Pick<Line, "large" | "small">) => Kind | null;
  /** ms */
  now: number;
};
