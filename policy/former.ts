/**
 * What was spent of a limit that was since lowered, or taken away. Law: when it comes back, at least as much counts as spent as if it had always been there: so
 * what calls take meanwhile is spent of it too.
 */

/**
 * Units of a limit that were spent at an instant (ms), how many of them refill in a ms, and the most that it held; older records lack the latter, and what was
 * taken since.
 */
export type Former = { spent: number; at: number; perMs: number; whole?: number };

export function leftOf({ at, perMs, spent }: Former, now: number): number {
  return Math.max(0, spent - Math.max(0, now - at) * perMs);
}

/** A call takes this much. */
export function alsoTaken(formers: readonly Former[], amount: number, now: number): Former[] {
  const left = formers.filter((each) => leftOf(each, now) > 0);
  return left.map((each) =>
    each.whole === undefined ? each : runAhead({ ...each, spent: leftOf(each, now), at: Math.max(now, each.at) }, amount),
  );
}

/** Counts this much more as spent. No more than the limit held, unless that was owed: what calls give back is not taken off. */
export function runAhead(former: Former, amount: number): Former {
  const { spent, whole } = former;
  return whole === undefined ? former : { ...former, spent: Math.max(spent, Math.min(spent + amount, whole)) };
}

/** How much these leave to count as spent, where `spent` counts already. */
export function missingOf(formers: readonly Former[], spent: number, now: number): number {
  let [known, apart] = [spent, 0];
  for (const each of formers) {
    if (each.whole === undefined) apart += leftOf(each, now);
    else known = Math.max(known, leftOf(each, now));
  }
  return known - spent + apart;
}
