/** What a pool's budget leaves to one tenant, as OpenAI's rate limit headers would tell it to an account of its own. */
import type { Allowance, Share } from "../schemas/rpc.ts";
import type { Budget, Meter } from "./budget.ts";

const MINUTE_MS = 60_000;

/** `tenant`: the budget of the tenant's own limits. Each figure is the tighter one of the two budgets. */
export function shareOf(pool: Budget, tenant: Budget, now: number): Share {
  const meters = [...pool.meters, ...tenant.meters];
  const scarcest = (resource: Meter["resource"]): Allowance | null => {
    const of = meters.filter((meter) => meter.resource === resource).map((meter) => allowance(meter, now));
    if (of.length === 0) return null;
    return {
      limit: Math.min(...of.map(({ limit }) => limit)),
      remaining: Math.min(...of.map(({ remaining }) => remaining)),
      resetMs: Math.max(...of.map(({ resetMs }) => resetMs)),
    };
  };
  return { requests: scarcest("rpm"), tokens: scarcest("tpm") };
}

function allowance({ rate, tally }: Meter, now: number): Allowance {
  return {
    limit: Math.round(rate.perMs * MINUTE_MS),
    remaining: Math.max(0, Math.floor(tally.free(now))),
    resetMs: Math.ceil(tally.wholeAt(now) - now),
  };
}
