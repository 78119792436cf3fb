/**
 * For a client that takes deltas, events lost on the way show as a gap in their job's seqs. Law: nothing beyond a gap is passed on; what is missing is asked
 * for again, starting after the last event that came. A gap that comes twice is the service's own: it keeps the deltas of an ended job for only an hour.
 *
 * A delta that stands for several, the first of which already came, cannot be cut here, because its chunks are merged. So it counts as beyond a gap, however
 * often it comes: when asked for what follows the last event, the service cuts it there.
 */

/** The events of a job between which others are missing; or, if `next` is not beyond `last`, a delta that begins too early. */
export type Gap = { last: number; next: number };

/** The gap before a new event; null if there is none, or if it is the one already `found`. `last`: the seq that came last. */
export function gapBefore({ from, seq }: { from?: number; seq: number }, last: number, found: Gap | null): Gap | null {
  const next = from ?? seq;
  if (next === last + 1 || (next > last && found?.last === last && found.next === next)) return null;
  return { last, next };
}
