/**
 * A tenant whose calls come to nothing while its pool is well: there is no capacity for them, or their mailbox cannot be reached. Each takes of the pool all
 * the same. Law: after so many in a row such a tenant's calls take a tenth of the pool at the most, until one of them is taken.
 */

/** `times`: calls in a row that came to nothing. `nextAt`: when another may be let go, once they are too many, ms. */
export type Vain = { readonly times: number; readonly nextAt: number };

/** As many as may well be under way at once, and say the same. */
const PATIENCE = 20;
/** One call in so many times what it takes of the pool's rate. */
const SPACING = 10;
/** Not more often than this, for the sake of upstream; and not less, as with a pool that is halted, or nobody would find out that things are well again. ms. */
const INTERVAL_MS = { least: 1_000, most: 600_000 };

export const again = (vain: Vain | undefined, now: number): Vain => ({ times: (vain?.times ?? 0) + 1, nextAt: vain?.nextAt ?? now });

export const isHopeless = (vain: Vain | undefined): boolean => vain !== undefined && vain.times >= PATIENCE;

/** When a call may be let go, ms; from `now` on. */
export const readyAt = (vain: Vain, now: number): number => (isHopeless(vain) ? Math.max(now, vain.nextAt) : now);

/** When so many more calls of `costMs` each have been let go, ms. */
export function clearedAt(vain: Vain, calls: number, costMs: number, now: number): number {
  return readyAt(vain, now) + (calls - 1) * intervalMs(costMs);
}

/** A call is let go that takes `costMs` of the pool's rate. */
export function start(vain: Vain, costMs: number, now: number): Vain {
  return { ...vain, nextAt: now + intervalMs(costMs) };
}

function intervalMs(costMs: number): number {
  return Math.min(INTERVAL_MS.most, Math.max(INTERVAL_MS.least, SPACING * costMs));
}
