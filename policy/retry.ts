/** What becomes of a job whose attempt ended without a result. */
import type { Problem } from "../schemas/problem.ts";
import type { Outcome } from "../schemas/rpc.ts";
import { backoffMs } from "./backoff.ts";

/** Attempts that reached upstream and failed; with the backoff's cap, the waits between them add up to some three minutes on average: an outage that heals. */
export const MAX_ATTEMPTS = 12;
/** From the first start of a job until it is given up, rate-limit waits included. */
export const MAX_TOTAL_MS = 86_400_000;

export type Record = {
  /** Leases so far, this one included. */
  attempt: number;
  /** Those of them that do not count as attempts. */
  waits: number;
  unknown: number;
  /** Earlier attempts that ended like this one, and would end so again. */
  alike: number;
  firstStartedAt: number;
  /** The call was the probe of a pool that stands still. */
  probe: boolean;
  /** When the job comes back (ms), if that is set: after the next probe of a pool that stands still, or later because it was turned away again and again. */
  backAt: number | null;
  /** Until when the pool is silent (ms): upstream asked for it. */
  silentUntil: number;
};

export type Next =
  | { kind: "end" }
  /** Back to its place in the order, at `backAt` if that is set; it does not count as an attempt. `holdUntil`: the pool is silent until then. */
  | { kind: "wait"; holdUntil: number; backAt?: number; anew?: true }
  /** `uncounted`: it does not count as an attempt. `anew`, here and above: the job's time starts over, because what it lost until now is not its fault. */
  | { kind: "retry"; at: number; unknown: boolean; problem: Problem; uncounted?: true; anew?: true }
  | { kind: "fail"; problem: Problem };

/** Whether the call was certainly not made: nobody charged for it, and it says nothing about upstream. */
export function neverLeft(outcome: Outcome): boolean {
  return outcome.kind === "void" || outcome.kind === "late" || ("unsent" in outcome && outcome.unsent === true);
}

/** Decides; `random` in [0, 1) is the jitter. */
export function afterAttempt(outcome: Outcome, record: Record, now: number, random: number): Next {
  const outOfTime = now - record.firstStartedAt > MAX_TOTAL_MS;
  switch (outcome.kind) {
    case "committed":
    case "void":
    case "aborted":
      return { kind: "end" };
    case "fatal":
      return { kind: "fail", problem: outcome.problem };
    case "late":
      return { kind: "wait", holdUntil: now, ...(record.attempt === 1 && { anew: true as const }) };
    case "halted":
    case "region":
      // However long it lasts: none of it is the job's fault, and its call told how things stand.
      return { kind: "wait", holdUntil: now, ...back(record), anew: true };
    case "slow_down":
    case "no_capacity":
    case "rate_limited":
      if (outOfTime) return { kind: "fail", problem: tooLong() };
      return { kind: "wait", holdUntil: record.silentUntil, ...back(record) };
    case "retryable": {
      const { problem, unknown } = outcome;
      // A probe is sent to learn how upstream is doing: what it finds does not use up the job's attempts.
      if (record.probe && record.backAt !== null)
        return { kind: "retry", at: record.backAt, unknown, problem, uncounted: true, anew: true };
      // No call was made: whatever stood in the way uses up the job's time, but none of its attempts.
      if (neverLeft(outcome) && !outOfTime)
        return { kind: "retry", at: now + backoffMs(record.attempt, random, outcome.retryAfterMs), unknown, problem, uncounted: true };
      const failures = record.attempt - record.waits;
      if (failures >= MAX_ATTEMPTS) return { kind: "fail", problem };
      if (outcome.repeats !== undefined && record.alike + 1 >= outcome.repeats) return { kind: "fail", problem };
      if (outOfTime) return { kind: "fail", problem: tooLong() };
      return { kind: "retry", at: now + backoffMs(failures, random, outcome.retryAfterMs), unknown, problem };
    }
  }
}

function back({ backAt }: Record): { backAt?: number } {
  return backAt === null ? {} : { backAt };
}

function tooLong(): Problem {
  const hours = MAX_TOTAL_MS / 3_600_000;
  return {
    status: 504,
    type: "server_error",
    code: "retry_time_exceeded",
    message: `No attempt succeeded within ${hours} hours of the first.`,
    param: null,
  };
}
