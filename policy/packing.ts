/**
 * Which of two limits is about to be left unspent, so that jobs of its kind go before the next. Of a window, nothing of what is scarcer for the waiting jobs is
 * to be left.
 */
import { type Budget, costMs, isWindow, type Meter, meterOf } from "./budget.ts";
import type { Sliding } from "./sliding.ts";

/** One resource of a window may be this part of it behind the other: less is chance, and would change the order for nothing. */
const BEHIND = 1 / 256;

/** Small calls differ, and the next ones may take more than most did: this many times their usual tokens are kept for them. */
const SPARE = 1.5;

/**
 * What waits, in tokens. `mean`: of all that wait. `large`: the next jobs that mostly take tokens, in order, computed on demand. `small`: what the others took,
 * roughly.
 */
export type Line = { head: number; mean: number; large: () => readonly number[]; small: number };

/**
 * The resource of which something is about to be lost, if the head goes next. With buckets: tokens, if theirs would be full before the next request can follow
 * this one, because its refill is lost from then on. With windows: the resource of which less is used, because nobody can use it once the other is used up. The
 * one that is scarcer for the waiting jobs is kept ahead: none of it is to be left.
 *
 * Of the other as much goes as can, even if the waiting jobs do not need it. Rejected: only as much of it as they take for each unit of the scarcer one. Large
 * and small jobs then wait alike, and waits are predicted better, but where later jobs take more of it, a tenant's work took 2 to 5 % longer.
 */
export function idleKind(budget: Budget, line: Line, now: number): Meter["counts"] | null {
  const tokens = meterOf(budget, "tpm");
  if (!tokens) return null;
  const spent = tokens.tally.spent(now);
  if (!isWindow(tokens))
    return (tokens.leaving?.once(spent) ?? spent) <= tokens.rate.perMs * costMs(budget, "requests", 0) ? "tokens" : null;
  const requests = meterOf(budget, "rpm");
  if (!requests) return null;
  const [oneRequest, itsTokens] = [1 / requests.rate.burst, line.head / tokens.rate.burst];
  const lead = tokens.tally.spent(now) / tokens.rate.burst - requests.tally.spent(now) * oneRequest;
  const after = lead + itsTokens - oneRequest;
  if (line.mean / tokens.rate.burst > oneRequest) return after < 0 ? "tokens" : lead > BEHIND ? "requests" : null;
  const [calls, left] = [requests, tokens].map(({ tally }) => (tally as Sliding).left(now)) as [number, number];
  if (after > 0 || strandsRequests(line, calls, left)) return "requests";
  return lead < -BEHIND ? "tokens" : null;
}

/**
 * Whether one of the next large calls would be the last to find tokens in this window, and leave requests without any. The small ones then go while there is
 * room beside it. To look only at the first large call would be too late: where it just fits, it has the right to go, and nothing fits beside it. Windows of
 * 500 requests then lost up to 20 of them, one window in ten.
 */
function strandsRequests({ large, small }: Line, calls: number, tokens: number): boolean {
  let [requests, left] = [calls, tokens];
  for (const each of large()) {
    requests--;
    left -= each;
    if (left < 0) return false;
    if (left < requests * small * SPARE) return true;
  }
  return false;
}
