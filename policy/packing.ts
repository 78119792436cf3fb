/** Which of two limits is about to be left unspent, so that jobs of the other kind go before the next. Of a window nothing is to be left of what is the scarcer for those that wait. */
import { type Budget, costMs, isWindow, type Meter, meterOf } from "./budget.ts";
import type { Sliding } from "./sliding.ts";

/** Of a window so much may be behind: less is chance, and would change the order for nothing. */
const BEHIND = 1 / 256;

/** Calls that take little differ, and those that come next may take more than most did: so much more is kept for them. */
const SPARE = 1.5;

/** What stands in line, in tokens. `mean`: of all that wait. `large`: the next of those that mostly take tokens, in their order, as far as it is asked. `small`: what the others took, about. */
export type Line = { head: number; mean: number; large: () => readonly number[]; small: number };

/**
 * The resource of which something is about to be lost, if the head goes next. In a bucket of tokens that would be full before the next request can follow this one: from
 * then on their refill is. Of windows, that of which less is used: once the other's is used up, nobody can use it. The one that is the scarcer for what waits is
 * kept ahead: of that nothing is to be left.
 *
 * Of the other as much goes as can, though it is not needed for what waits. Rejected: only as much of it as what waits takes for each of the scarcer. Large and small jobs then wait alike, and waits are told better, but
 * where what comes later takes more of it, a tenant's work took 2 to 5 % longer.
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
 * Whether one of the large calls that are next would be the last to find tokens in this window, and leave requests behind with none. So the small ones go while there is room beside it. To look
 * at the first alone would be too late: where that just fits, it has its right to go, and nobody beside it. Windows of 500 requests then lost up to 20 of them, one window in ten.
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
