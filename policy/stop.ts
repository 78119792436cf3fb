/**
 * A pool that stands still because its calls cannot succeed: halted (nobody has paid, the key is refused, no place is allowed, all is refused for the
 * rate) or open (upstream is down). Law: while it is, one job at a time is called as a probe, at intervals that grow; no other is, and none is lost.
 */

/** `failures` is the open circuit breaker; the others halt. */
export type StopReason = "billing" | "credentials" | "region" | "rate_limit" | "failures";

export type Stop = {
  reason: StopReason;
  /** Upstream's code or type, or its status. */
  code: string | null;
  since: number;
  /** Probes that did not succeed. */
  failedProbes: number;
  /** No probe before this, ms. */
  nextProbeAt: number;
  /** The job that is the probe, while its call runs. */
  probe: string | null;
  /** Probes in a row that succeeded, where one is not enough. */
  proofs?: number;
};

/** What a call that ended says of its pool. */
export type Sign =
  | { kind: "success" }
  /** Upstream refused this request: it is there, and knows the key. */
  | { kind: "answer" }
  /** Upstream asked to wait. `storm`: as it did too often of late. */
  | { kind: "refusal"; storm: boolean; retryAfterMs: number | null }
  /** `down`: with the calls before it, it opens the breaker. */
  | { kind: "failure"; down: boolean; code: string | null }
  | { kind: "halt"; reason: Exclude<StopReason, "failures">; code: string | null; retryAfterMs: number | null }
  /** Upstream was not asked, or did not say. */
  | { kind: "nothing" };

/** An outage often ends within seconds; a bill is paid, or a key changed, by people. */
const INTERVALS = {
  failures: { first: 2_000, most: 60_000 },
  rate_limit: { first: 15_000, most: 60_000 },
  halted: { first: 30_000, most: 600_000 },
};
/** One call that is taken says that a bill is paid. That there is room for the rest, some in a row do. */
const PROOFS = { rate_limit: 10, other: 1 };

/** ms from a probe that did not succeed to the next; doubles with each. */
export function intervalMs({ reason, failedProbes }: Pick<Stop, "reason" | "failedProbes">): number {
  const { first, most } = reason === "failures" || reason === "rate_limit" ? INTERVALS[reason] : INTERVALS.halted;
  return Math.min(most, first * 2 ** Math.min(failedProbes, 30));
}

/** The stop after a call of `job` has ended; null: the pool runs. */
export function afterCall(stop: Stop | null, sign: Sign, job: string, now: number): Stop | null {
  const isProbe = stop?.probe === job;
  if (sign.kind === "halt") return halted(stop, sign, isProbe, now);
  if (!stop) return opened(sign, now);
  // Calls that began before the stop say nothing of how things stand now.
  if (!isProbe) return stop;
  switch (sign.kind) {
    case "success":
      return proved(stop, now);
    case "refusal":
      if (stop.reason === "rate_limit") return later(stop, now, sign.retryAfterMs);
      return afterCall(stop, { kind: "answer" }, job, now);
    case "answer":
      // A request that is no good is perhaps refused before it is counted.
      if (stop.reason === "rate_limit") return { ...stop, probe: null, nextProbeAt: now };
      // Whether a bill is paid is perhaps looked at later than what was refused here.
      if (stop.reason === "billing") return { ...stop, probe: null, nextProbeAt: now + intervalMs(stop) };
      return proved(stop, now);
    case "failure":
      return later(stop, now);
    case "nothing":
      return { ...stop, probe: null, nextProbeAt: now };
  }
}

/** A job may start as a probe from this instant on (ms); Infinity while one runs. */
export function probeAt({ probe, nextProbeAt }: Stop): number {
  return probe === null ? nextProbeAt : Number.POSITIVE_INFINITY;
}

/**
 * How long after the next probe a job comes back that was refused: were it the cause itself, the probe is another. If there is no other, it is
 * the probe, so much later.
 */
export const STEP_BACK_MS = 1_000;

function opened(sign: Sign, now: number): Stop | null {
  if (sign.kind === "failure" && sign.down) return begin("failures", sign.code, now);
  return sign.kind === "refusal" && sign.storm ? begin("rate_limit", "rate_limit_exceeded", now, sign.retryAfterMs) : null;
}

function begin(reason: StopReason, code: string | null, now: number, atLeastMs: number | null = null, probe: string | null = null): Stop {
  const wait = Math.max(intervalMs({ reason, failedProbes: 0 }), atLeastMs ?? 0);
  return { reason, code, since: now, failedProbes: 0, nextProbeAt: now + wait, probe };
}

/** A probe succeeded: the pool runs, or the next probe goes at once. */
function proved(stop: Stop, now: number): Stop | null {
  const proofs = (stop.proofs ?? 0) + 1;
  return proofs >= (stop.reason === "rate_limit" ? PROOFS.rate_limit : PROOFS.other)
    ? null
    : { ...stop, proofs, probe: null, nextProbeAt: now };
}

function later(stop: Stop, now: number, atLeastMs: number | null = null): Stop {
  // Where some succeeded since the last that did not, the interval is right as it is.
  const failedProbes = stop.failedProbes + (stop.proofs ? 0 : 1);
  return {
    ...stop,
    failedProbes,
    proofs: 0,
    probe: null,
    nextProbeAt: now + Math.max(intervalMs({ ...stop, failedProbes }), atLeastMs ?? 0),
  };
}

function halted(stop: Stop | null, { reason, code, retryAfterMs }: Extract<Sign, { kind: "halt" }>, isProbe: boolean, now: number): Stop {
  // Another's probe, of an outage, is still under way: what it finds counts.
  if (!stop || stop.reason === "failures" || stop.reason === "rate_limit")
    return begin(reason, code, now, retryAfterMs, isProbe ? null : (stop?.probe ?? null));
  return isProbe ? later({ ...stop, reason, code }, now, retryAfterMs) : stop;
}
