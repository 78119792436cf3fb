/**
 * A tenant whose calls come to nothing, because upstream turns them away or they cannot be sent: each still takes from the pool. Law: their turns are not given
 * back, and the more there were in a row, the more turns the next one takes, up to ten. So others that wait get up to ten calls for each of them; where nobody
 * else waits, or all fare alike, nothing is held back. One call that upstream takes ends it.
 */

/** For every this many in a row the next call takes one more turn. Not for each: several are always under way at once, and fail for the same reason. */
const EACH = 4;
const MOST_TURNS = 10;

/** The turns that the next call takes after this many in a row that came to nothing. */
export function turns(times: number): number {
  return Math.min(MOST_TURNS, 1 + Math.floor(times / EACH));
}
