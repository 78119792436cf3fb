/** How many of the tokens that our calls reserved upstream has given back. */
import type { FullReading } from "../schemas/rate.ts";
import type { Levels } from "./levels.ts";

/** `arrived`: calls started by then had certainly reached upstream when it reported what is left, at `at`. All in ms. */
type Times = { arrived: number; at: number; now: number; transitMs: number };

/**
 * Tokens that upstream no longer counts, although our calls had certainly arrived and too little time has passed for the tokens to refill: they came back
 * there. Every doubt is decided in upstream's favour: each call is as late as the latest one, and refill is lost in a bucket that may have been full.
 * `corrected`: net corrections since `arrived`, for spending that was not ours.
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
