/**
 * Refusals for the rate. One is answered by silence; what is let go after it and is refused again says that upstream counts otherwise than is
 * believed here, whatever its headers say or leave out (a daily limit that is used up, say). Law: each silence of that kind is twice as long as the one
 * before, and after some of them the pool stands still but for one probe at a time (policy/stop.ts).
 */
export type Refusals = {
  /** Silences in a row after which upstream refused no less than it took. */
  readonly rounds: number;
  /** When the last silence began, and when it ends, ms. */
  readonly since: number;
  readonly until: number;
  /** What was refused for which it is kept, and what of the calls that were let go since was taken. */
  readonly refused: number;
  readonly admitted: number;
  /** Whose call was refused first; and whether another's was, too. */
  readonly job: string | null;
  readonly several: boolean;
};

export const NO_REFUSALS: Refusals = {
  ...{ rounds: 0, since: Number.NEGATIVE_INFINITY, until: Number.NEGATIVE_INFINITY },
  ...{ refused: 0, admitted: 0, job: null, several: false },
};

/** A 429 without `Retry-After`: the pool is silent for this long at first, and for so long at the most. ms. */
export const SILENCE_MS = { first: 2_000, most: 60_000 };
/** From so many silences on, and for one that upstream wants longer than the longest, the pool stands still. */
const STORM_ROUNDS = 4;
/** So few calls that were taken prove nothing. */
const PROVEN = 5;
/** After so long without a refusal the next is the first. ms. */
const FORGOTTEN_MS = 600_000;

/** A call that was refused; `leasedAt`: when it was let go, ms. */
type Refused = { job: string; leasedAt: number; retryAfterMs: number | null };

/** `random` in [0, 1): so that silences do not end together everywhere. */
export function afterRefusal(known: Refusals, { job, leasedAt, retryAfterMs }: Refused, now: number, random: number): Refusals {
  const jittered = (ms: number) => now + ms * (1 + 0.1 * random);
  // Let go before: what it says was known when the silence began.
  if (leasedAt < known.since) {
    const several = known.several || job !== known.job;
    return { ...known, until: Math.max(known.until, jittered(retryAfterMs ?? 0)), refused: known.refused + 1, several };
  }
  const fresh = known.admitted > Math.max(known.refused, PROVEN) || now - known.until > FORGOTTEN_MS;
  // The same job and no other: it is perhaps too large for upstream, which says nothing of the rest.
  const rounds = fresh ? 1 : known.rounds + (isSameAlone(known, job) ? 0 : 1);
  const grown = Math.min(SILENCE_MS.most, SILENCE_MS.first * 2 ** Math.min(rounds - 1, 30));
  const silence = rounds === 1 ? (retryAfterMs ?? SILENCE_MS.first) : Math.max(retryAfterMs ?? 0, grown);
  return { rounds, since: now, until: jittered(silence), refused: 1, admitted: 0, job, several: false };
}

/** Whether this job's call, and nobody else's, was refused the last time too. */
export function isSameAlone(known: Refusals, job: string): boolean {
  return known.job === job && !known.several;
}

/** A call was taken by upstream. */
export function afterAdmission(known: Refusals, leasedAt: number): Refusals {
  return known.rounds > 0 && leasedAt >= known.since ? { ...known, admitted: known.admitted + 1 } : known;
}

/** The pool runs again after it stood still: the next refusal, unless much is taken before, stops it at once. */
export function afterStorm(now: number): Refusals {
  return { ...NO_REFUSALS, rounds: STORM_ROUNDS - 1, since: now, until: now, refused: 2 * PROVEN };
}

/** Silence alone does not help, or upstream wants more of it than is kept without a word. */
export function isStorm({ rounds, until }: Refusals, now: number): boolean {
  return rounds >= STORM_ROUNDS || until - now > SILENCE_MS.most * 1.1;
}

/** After a silence that did not help nothing that refilled meanwhile is let go at once. */
export function isRepeated({ rounds }: Refusals): boolean {
  return rounds > 1;
}
