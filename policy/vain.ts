/**
 * A tenant whose calls come to nothing, whatever the cause: each takes of the pool all the same. Law: of none the turn is given back, and the more there were in a
 * row, the more turns the next one takes, up to ten. So whoever else waits gets up to ten calls for each of them; where nobody else waits, or all fare alike, nothing
 * is held back. One call that is taken ends it.
 */

/** So many in a row, and a turn counts for one more: some are always under way at once, and say the same. */
const EACH = 4;
const MOST_TURNS = 10;

/** The turns that the next call takes after so many in a row that came to nothing. */
export function turns(times: number): number {
  return Math.min(MOST_TURNS, 1 + Math.floor(times / EACH));
}
