/** What upstream gives back of the tokens that our calls reserved there. */
import type { FullReading } from "../schemas/rate.ts";
import type { Levels } from "./levels.ts";

/** `arrived`: what was let go until then had surely arrived when upstream told of what is left, at `at`. All in ms. */
type Times = { arrived: number; at: number; now: number; transitMs: number };

/**
 * Tokens that upstream counts no more, though our calls had surely arrived and too little time has passed for them to refill: they came back there.
 * Reckoned so that every doubt is upstream's: each call as late as any was, and what refilled in a bucket that may have been full is lost. `corrected`: what was not ours, since then.
 */
export function cameBack(
  { limit, remaining }: FullReading,
  levels: Levels,
  corrected: number,
  { arrived, at, now, transitMs }: Times,
): number {
  const perMs = limit / 60_000;
  const level = levels.remained("tokens", arrived, at, perMs);
  if (level === null) return 0;
  const counted = limit - remaining;
  const lost = Math.max(0, perMs * (now - at) - counted);
  return level + corrected - counted - perMs * transitMs - lost;
}
