/**
 * When the place of a waiting job is worth telling. Law: only a better place than the one told last is told, and a job first told
 * place N is told at most 4 + log(N) / log(4/3) places, however its place wanders. The size of the change limits this, not a timer.
 */

/** A place is told once it is down to this share of the one told last. */
const SHARE = 3 / 4;
/** The last places are told one by one. */
const LAST_PLACES = 3;

/** `told`: the place told last, null if none was. */
export function worthTelling(position: number, told: number | null): boolean {
  return told === null || position <= nextWorth(told);
}

/** How many jobs must leave the queue before a job at this place can be at one worth telling; Infinity when there is none. */
export function departuresUntil(position: number, told: number): number {
  const next = nextWorth(told);
  return next < 1 ? Number.POSITIVE_INFINITY : Math.max(1, position - next);
}

/** The first place worth telling after this one; 0 if there is none. */
function nextWorth(told: number): number {
  return Math.floor(Math.max(told * SHARE, Math.min(LAST_PLACES, told - 1)));
}
