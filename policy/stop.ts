/**
 * A pool that stands still because its calls cannot succeed: halted (nobody has paid, the key is refused, no region is allowed) or open (upstream is down).
 * Law: meanwhile one job at a time is called as a probe, at growing intervals; no other is called, and none is lost. Where upstream is down, more probes follow
 * while the answers of earlier ones have begun and go on: an answer that begins may break, but waiting for the end of the first would take as long as the
 * answer does. One may go on at first, twice as many after each interval in which none failed, and none of them is forgotten.
 */

/** `failures` is the open circuit breaker; the others halt. */
export type StopReason = "billing" | "credentials" | "region" | "failures";

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
  /** Jobs that were probes of an outage, and whose answers have begun and go on. */
  begun?: string[];
  /** Since when (ms) answers have gone on without a failed probe. */
  quietSince?: number;
  /** The latest jobs whose probes did not help, and how often they did not. */
  failed?: Record<string, number>;
};

/** What a call that ended says of its pool. */
export type Sign =
  | { kind: "success" }
  /** Upstream refused this request, or asked to wait: it is there, and knows the key. */
  | { kind: "answer" }
  /** `down`: with the calls before it, it opens the breaker. */
  | { kind: "failure"; down: boolean; code: string | null }
  | { kind: "halt"; reason: Exclude<StopReason, "failures">; code: string | null; retryAfterMs: number | null }
  /** Upstream was not asked, or did not say. */
  | { kind: "nothing" };

/** An outage often ends within seconds; a bill is paid, or a key changed, by people. */
const INTERVALS = { failures: { first: 2_000, most: 60_000 }, halted: { first: 30_000, most: 600_000 } };

/** The key was refused to one job, and perhaps only to that one. Another is called at once to find out; until it is refused as well, nobody needs to act. */
export function isDoubtful({ reason, failedProbes }: Pick<Stop, "reason" | "failedProbes">): boolean {
  return reason === "credentials" && failedProbes === 0;
}

/** ms from a probe that did not succeed to the next; doubles with each. */
export function intervalMs({ reason, failedProbes }: Pick<Stop, "reason" | "failedProbes">): number {
  if (isDoubtful({ reason, failedProbes })) return 0;
  const { first, most } = reason === "failures" ? INTERVALS.failures : INTERVALS.halted;
  return Math.min(most, first * 2 ** Math.min(reason === "credentials" ? failedProbes - 1 : failedProbes, 30));
}

/** The stop after a call of `job` has ended; null: the pool runs. */
export function afterCall(stop: Stop | null, sign: Sign, job: string, now: number): Stop | null {
  const isProbe = stop?.probe === job;
  if (sign.kind === "halt") return halted(stop, sign, job, isProbe, now);
  if (!stop) return sign.kind === "failure" && sign.down ? begin("failures", sign.code, now) : null;
  if (stop.begun?.includes(job)) return afterBegun(stop, sign, job, now);
  // Calls that began before the stop say nothing about how things stand now.
  if (!isProbe) return stop;
  switch (sign.kind) {
    case "success":
      return null;
    case "answer":
      // Upstream may look at the bill only after what it refused here.
      if (stop.reason !== "billing") return null;
      return { ...stop, probe: null, nextProbeAt: now + intervalMs(stop), failed: withFailed(stop, job) };
    case "failure":
      return later(stop, job, now);
    case "nothing":
      return { ...stop, probe: null, nextProbeAt: now };
  }
}

/** The answer to a call of `job` has begun. Null: the pool runs; after an outage only the end of an answer tells that. */
export function afterBeginning(stop: Stop, job: string, now: number): Stop | null {
  if (stop.probe !== job) return stop;
  if (stop.reason !== "failures") return null;
  const { begun = [] } = stop;
  return { ...stop, probe: null, begun: [...begun, job], quietSince: begun.length > 0 ? (stop.quietSince ?? now) : now };
}

/** Whether a call of `job` is a probe, with its answer begun or not. */
export function isProbe({ begun, probe }: Stop, job: string): boolean {
  return probe === job || begun?.includes(job) === true;
}

function afterBegun(stop: Stop, { kind }: Sign, job: string, now: number): Stop | null {
  if (kind === "success" || kind === "answer") return null;
  const without = { ...stop, begun: stop.begun!.filter((each) => each !== job) };
  // What breaks these answers breaks them together: it counts as one failure, and a probe that is under way finds out by itself.
  if (kind !== "failure") return without;
  if (now < stop.nextProbeAt) return { ...without, quietSince: now };
  return { ...later(without, job, now), probe: stop.probe };
}

/** The least time without a failure before twice as many answers may go on, ms; and how many may go on at most. */
const QUIET_MS = 10_000;
const MOST_BEGUN = 64;

/** From when on a job may start as a probe (ms); Infinity while one runs, or while as many answers go on as may. */
export function probeAt(stop: Stop): number {
  const { begun = [], nextProbeAt, probe } = stop;
  if (probe !== null || begun.length >= MOST_BEGUN) return Number.POSITIVE_INFINITY;
  if (begun.length === 0) return nextProbeAt;
  const doublings = Math.ceil(Math.log2(begun.length + 1));
  return Math.max(nextProbeAt, (stop.quietSince ?? nextProbeAt) + doublings * Math.max(QUIET_MS, intervalMs(stop)));
}

/**
 * A job that was refused comes back this long after the next probe is due, so that another job is the probe: it may be the cause itself. If there is no other,
 * it is the probe.
 */
const STEP_BACK_MS = 1_000;

/**
 * When such a job comes back, ms. After each further probe of its own that did not help, one more probe goes before it: otherwise two such jobs would take
 * turns.
 */
export function backAfter(stop: Stop, job: string): number {
  const next = isDoubtful(stop) ? Math.max(stop.nextProbeAt, stop.since + INTERVALS.halted.first) : stop.nextProbeAt;
  return next + STEP_BACK_MS + Math.max(0, (stop.failed?.[job] ?? 0) - 1) * intervalMs(stop);
}

/** Jobs whose probes are remembered, so that the record stays small. */
const MOST_REMEMBERED = 100;

function withFailed({ failed = {} }: Stop, job: string): Record<string, number> {
  const { [job]: times = 0, ...others } = failed;
  return Object.fromEntries([...Object.entries(others), [job, times + 1] as const].slice(-MOST_REMEMBERED));
}

/** The wait that upstream asks for, up to the longest interval of probes: after a day without a probe, nobody would know that upstream has long been well. */
function askedMs(atLeastMs: number | null): number {
  return Math.min(INTERVALS.halted.most, atLeastMs ?? 0);
}

function begin(reason: StopReason, code: string | null, now: number, atLeastMs: number | null = null, probe: string | null = null): Stop {
  const wait = Math.max(intervalMs({ reason, failedProbes: 0 }), askedMs(atLeastMs));
  return { reason, code, since: now, failedProbes: 0, nextProbeAt: now + wait, probe };
}

function later(stop: Stop, job: string, now: number, atLeastMs: number | null = null): Stop {
  const failedProbes = stop.failedProbes + 1;
  const nextProbeAt = now + Math.max(intervalMs({ ...stop, failedProbes }), askedMs(atLeastMs));
  return { ...stop, failedProbes, probe: null, nextProbeAt, quietSince: now, failed: withFailed(stop, job) };
}

type Halt = Extract<Sign, { kind: "halt" }>;

function halted(stop: Stop | null, { reason, code, retryAfterMs }: Halt, job: string, isProbe: boolean, now: number): Stop {
  // Another job's probe of an outage is still under way: what it finds counts.
  if (!stop || stop.reason === "failures") return begin(reason, code, now, retryAfterMs, isProbe ? null : (stop?.probe ?? null));
  return isProbe ? later({ ...stop, reason, code }, job, now, retryAfterMs) : stop;
}
