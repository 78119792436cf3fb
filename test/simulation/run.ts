/** One run of a load against a rule, and its outcome. */

import { readSettings, type Settings } from "../../platform/settings.ts";
import { HEADER_SLOTS } from "../../policy/placement.ts";
import { fairnessGap, overflowOf } from "./checks.ts";
import { type EtaError, errorOf, waitsOf } from "./estimates.ts";
import { type LoadName, makeLoad, POOL, type Scale, type SimJob } from "./loads.ts";
import { Random } from "./random.ts";
import { type Options, Sluice } from "./sluice.ts";
import { type Rule, type RuleName, windowOf } from "./upstream.ts";
import { type Client, DELAY, play, World } from "./world.ts";

export type Scene = { load: LoadName; rule: RuleName; scale: Scale; minutes: number; seed: number } & Partial<
  Pick<Rule, "charge" | "refunds" | "countsRefused" | "headers"> & Learns
>;
/** `learns`: the operator does not know the rule and has not written how much may be spent at once, or has written this. */
type Learns = { learns: boolean | { burst_seconds: number } };

export type Report = {
  /** Use of the scarcer resource while work waited, relative to what the rule allows in the long run. */
  utilisation: number;
  refused: number;
  /** When the last call left, relative to the least time that the sums need, bursts used. */
  drain: number;
  gap: number;
  done: number;
  jobs: number;
  twice: number;
  /** Of the last job of the lowest priority, s. */
  worstWait: number;
  eta: EtaError | null;
  events: number;
};

/**
 * How much later a call may leave than another admitted with it: its dispatcher's six slots may be taken, unless there are as many slots as a window has calls.
 */
const DISPATCH_MS = { bucket: 150, window: 20 };

/** What an operator who knows the upstream's rule would write, or one who leaves the burst to be learned. */
export function settingsFor(rule: RuleName, scale: Scale, learns: Scene["learns"] = false): Settings {
  const { kind, seconds } = windowOf(rule);
  const known = { burst_seconds: seconds, window_seconds: kind === "bucket" ? null : seconds };
  const pool = {
    ...scale,
    ...(learns ? learns !== true && learns : known),
    ramp_tpm: null,
    transit_ms: DELAY.most - DELAY.least + DISPATCH_MS[kind === "bucket" ? "bucket" : "window"],
  };
  const dispatchers = Math.max(128, Math.ceil((scale.rpm * seconds) / 30 / HEADER_SLOTS));
  return readSettings({ SLUICE_LOCAL: "1", SLUICE_POOLS: JSON.stringify({ [POOL]: pool }), SLUICE_MAX_DISPATCHERS: `${dispatchers}` });
}

export function worldOf(scene: Scene): { world: World; jobs: SimJob[] } {
  const { rule: name, scale, seed, charge = "sum", refunds = false, countsRefused = true, headers } = scene;
  const random = new Random(seed + 7_919);
  const phaseMs = random.between(0, windowOf(name).seconds * 1_000);
  const jobs = makeLoad(scene.load, scale, scene.minutes, random);
  return { world: new World({ name, ...scale, charge, refunds, countsRefused, phaseMs, ...(headers && { headers }) }, seed), jobs };
}

export function runSluice(scene: Scene, options: Omit<Options, "settings"> = {}) {
  const { world, jobs } = worldOf(scene);
  const settings = settingsFor(scene.rule, scene.scale, scene.learns);
  const sluice = new Sluice(world, { settings, volatile: true, ...options });
  play(world, jobs, sluice);
  return { world, jobs, sluice, report: reportOf(scene, world, jobs, sluice.starts) };
}

export function runStrategy(scene: Scene, make: (world: World, scale: Scale) => Client): Report {
  const { world, jobs } = worldOf(scene);
  play(world, jobs, make(world, scene.scale));
  return reportOf(scene, world, jobs, world.sends);
}

/** The most of a limit that a client can use if its calls differ by the jitter: a window loses the jitter, a bucket nothing. */
export function ceilingOf(rule: RuleName): number {
  const { kind, seconds } = windowOf(rule);
  return kind === "bucket" ? 1 : (seconds * 1_000) / (seconds * 1_000 + DELAY.most - DELAY.least);
}

function reportOf(scene: Scene, world: World, jobs: SimJob[], admitted: World["sends"]): Report {
  const { scale } = scene;
  const perMs = { requests: scale.rpm / 60_000, tokens: scale.tpm / 60_000 };
  const tokens = jobs.reduce((sum, job) => sum + world.upstream.chargeOf(job.prompt, job.most), 0);
  // Nothing starts before it has arrived.
  const lastCame = jobs.reduce((last, { at }) => Math.max(last, at), 1);
  const optimum = Math.max(lastCame, least(scene.rule, jobs.length / perMs.requests), least(scene.rule, tokens / perMs.tokens));
  const last = world.sends.at(-1)?.at ?? 0;
  return {
    utilisation: utilisationOf(world, perMs, ceilingOf(scene.rule)),
    refused: world.upstream.refused,
    drain: last / optimum,
    gap: fairnessGap(admitted, jobs, scale),
    done: jobs.reduce((count, { done }) => count + Math.min(done, 1), 0),
    jobs: jobs.length,
    twice: jobs.reduce((count, { done }) => count + (done > 1 ? 1 : 0), 0),
    worstWait: worstWait(jobs),
    eta: errorOf(waitsOf(jobs)),
    events: world.time.events,
  };
}

/**
 * The least time, ms, for what refills in `ms`. The first window is there at once, and each later one comes whole, one window later: no sliding window lets
 * part of it go earlier.
 */
function least(rule: RuleName, ms: number): number {
  const { kind, seconds } = windowOf(rule);
  const whole = seconds * 1_000;
  return kind === "bucket" ? ms - whole : (Math.ceil(ms / whole - 1e-9) - 1) * whole;
}

/** Of what upstream took, over the middle half, where neither the burst nor the end of the work shows. */
function utilisationOf({ taken, takenAt }: World, perMs: { requests: number; tokens: number }, ceiling: number): number {
  const [from, to] = [Math.floor(taken.length / 4), Math.floor((taken.length * 3) / 4)];
  const middle = taken.slice(from, to);
  const length = takenAt[to - 1]! - takenAt[from]!;
  const tokens = middle.reduce((sum, { prompt, most }) => sum + prompt + most, 0);
  return Math.max(middle.length / (perMs.requests * length), tokens / (perMs.tokens * length)) / ceiling;
}

function worstWait(jobs: SimJob[]): number {
  const lowest = jobs.reduce((least, { priority }) => Math.min(least, priority), Number.POSITIVE_INFINITY);
  return jobs.reduce((most, { at, priority, sentAt }) => (priority === lowest ? Math.max(most, ((sentAt ?? 0) - at) / 1_000) : most), 0);
}

/** By then a steady queue has shown how it moves. */
const SETTLED_MS = 300_000;

/**
 * Waits under a steady load, once it has shown itself and while it lasts: after the last arrival, jobs wait less than they were told, because nothing comes
 * between any more.
 */
export function steadyWaits(
  { minutes = 20, ...scene }: Omit<Scene, "load" | "minutes"> & { minutes?: number },
  which: (job: SimJob) => boolean = () => true,
) {
  const { jobs } = runSluice({ ...scene, load: "steady", minutes });
  const lastCame = jobs.reduce((last, { at }) => Math.max(last, at), 0);
  const until = jobs.reduce((first, { at, sentAt }) => (sentAt === null || sentAt > lastCame ? Math.min(first, at) : first), lastCame);
  return waitsOf(
    jobs.filter((job) => job.at < until && which(job)),
    SETTLED_MS,
  );
}

export { overflowOf };
