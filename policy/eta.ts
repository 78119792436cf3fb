/** When a waiting job will start, judging by its position and by how fast the budget lets the pool drain. */
import type { Eta, LimitedBy } from "../schemas/job.ts";
import { type Budget, clearanceMs, readiness } from "./budget.ts";

/** What p95 allows for: jobs that arrive with a head start, retries, calls that cost more than estimated. */
const SPREAD = 1.25;

export type Ahead = {
  /** Jobs that start no later than this one, itself included. */
  jobs: number;
  /** Their reserved tokens. */
  tokens: number;
  /** Mean time that a call holds a concurrency place, ms. */
  callMs: number;
};

export function etaOf(budget: Budget, ahead: Ahead, ownTokens: number, now: number): Eta {
  // Nothing is limited, as in most tenants' own budgets.
  if (budget.meters.length === 0 && budget.concurrency === null && budget.heldUntil <= now) return eta(0, "none");
  const flow = clearanceMs(budget, ahead.jobs, ahead.tokens, ownTokens, now);
  const own = readiness(budget, ownTokens, now);
  let at = flow.at;
  let limitedBy: LimitedBy = flow.limitedBy;
  if (Number.isFinite(own.at) && own.at > at) [at, limitedBy] = [own.at, own.limitedBy];
  if (budget.concurrency !== null) {
    const turns = Math.max(0, ahead.jobs - (budget.concurrency - budget.inFlight));
    const placesAt = now + (turns * ahead.callMs) / budget.concurrency;
    if (placesAt > at) [at, limitedBy] = [placesAt, "concurrency"];
  }
  return eta(at - now, limitedBy);
}

export function eta(waitMs: number, limitedBy: LimitedBy): Eta {
  const wait = Math.max(0, waitMs);
  return { p50: inSeconds(wait), p95: inSeconds(wait * SPREAD), limited_by: limitedBy };
}

/** Rounded to the ms. */
export function inSeconds(ms: number): number {
  return Math.round(ms) / 1_000;
}
