/**
 * Events that were lost on the way show, to who takes deltas, as a gap in the seqs of their job. Law: nothing is passed on out of a gap; what is missing
 * is asked for again after the last that came. A gap that is told twice is the service's own: it keeps the deltas of a job that has ended for an hour.
 *
 * A delta that stands for several, of which the first came before, cannot be cut here, for its chunks have grown together. So it is as good as one out of
 * a gap, however often it is told: asked for what comes after the last, the service cuts there.
 */

/** Between which events of a job others are missing; or which one came that begins before the last did. */
export type Gap = { last: number; next: number };

/** The gap before an event that is new; null if there is none, or the one that was `found` before. `last`: the seq that came last. */
export function gapBefore({ from, seq }: { from?: number; seq: number }, last: number, found: Gap | null): Gap | null {
  const next = from ?? seq;
  if (next === last + 1 || (next > last && found?.last === last && found.next === next)) return null;
  return { last, next };
}
