/** How evenly a pool is shared among tenants that all wait, and how long a quiet one waits beside another with a thousand times its load. */
import { jobId } from "../../platform/ids.ts";
import { CHANNEL, LARGEST, type Scale, type SimJob, UNDONE } from "./loads.ts";
import { Random } from "./random.ts";
import { settingsFor } from "./run.ts";
import { Sluice } from "./sluice.ts";
import { play, World } from "./world.ts";

const RULE = "bucket 1 s";
const MINUTE_MS = 60_000;
/** The first seconds, when not all tickets have arrived, are left out. */
const SETTLED_MS = 5_000;
/** Shares are computed for minutes that begin this far apart, ms. */
const STEP_MS = 5_000;

type Starts = Sluice["starts"];

function run(jobs: SimJob[], scale: Scale, seed: number): Starts {
  const rule = { name: RULE, ...scale, charge: "sum", refunds: false, countsRefused: true, phaseMs: 0 } as const;
  const world = new World(rule, seed);
  const sluice = new Sluice(world, { settings: settingsFor(RULE, scale), volatile: true });
  play(world, jobs, sluice);
  return sluice.starts;
}

/** All that is reserved is used, so service is known when it is given. */
function jobOf(tenant: string, number: number, tokens: number, at = 0): SimJob {
  const most = Math.max(1, Math.round(tokens / 2));
  const id = jobId(tenant, { channel: CHANNEL, number, nonce: "000000", at: 0 });
  return { id, tenant, at, prompt: Math.max(1, Math.round(tokens) - most), most, output: most, priority: 0, ...UNDONE };
}

function costOf({ most, prompt }: SimJob, { rpm, tpm }: Scale): number {
  return Math.max(1 / rpm, (prompt + most) / tpm);
}

/**
 * The least of Jain's index of dominant service, over any minute, of tenants that always have work waiting and whose jobs differ in size:
 * `(sum x)² / (n · sum x²)`, 1 being even (Jain, Chiu and Hawe, DEC-TR-301, 1984).
 */
export function leastJain(tenants: number, scale: Scale, seed: number, minutes = 3): number {
  const random = new Random(seed);
  const balanced = scale.tpm / scale.rpm;
  // Enough work of each for longer than that: if some mostly take requests and others tokens, shares add up to more than one.
  const work = (2 * (minutes + 1)) / tenants;
  const jobs = Array.from({ length: tenants }, (_, index) => {
    const median = balanced * 0.05 * 80 ** (index / (tenants - 1));
    const own: SimJob[] = [];
    for (let cost = 0; cost < work; cost += costOf(own.at(-1)!, scale))
      own.push(jobOf(`t${index}`, own.length, Math.min(balanced * LARGEST, random.lognormal(median, 0.7))));
    return own;
  }).flat();
  const starts = run(jobs, scale, seed);
  let least = 1;
  for (let from = SETTLED_MS; from + MINUTE_MS <= minutes * MINUTE_MS; from += STEP_MS) {
    const service = new Map<string, number>();
    for (const { at, job } of starts)
      if (at >= from && at < from + MINUTE_MS) service.set(job.tenant, (service.get(job.tenant) ?? 0) + costOf(job, scale));
    const shares = [...service.values()];
    const sum = shares.reduce((all, each) => all + each, 0);
    least = Math.min(least, sum ** 2 / (tenants * shares.reduce((all, each) => all + each ** 2, 0)));
  }
  return least;
}

/** `aloneMs`, `besideMs`: the 99th percentile of the quiet tenant's waits. `serviceMs`: what the largest of all jobs takes of the pool's rate. */
export type Quiet = { aloneMs: number; besideMs: number; serviceMs: number };

/** A job every three seconds, and a neighbour that first hands in what the pool does in a minute, and then a thousand times the quiet tenant's load. */
export function quietBesideNoisy(scale: Scale, seed: number, minutes = 10): Quiet {
  const random = new Random(seed);
  const balanced = scale.tpm / scale.rpm;
  const quiet = Array.from({ length: minutes * 20 }, (_, index) =>
    jobOf("quiet", index, balanced / 4, SETTLED_MS + index * 3_000 + random.between(0, 500)),
  );
  const noisy: SimJob[] = [];
  const everyMs = 3;
  for (let number = 0; number < scale.rpm + (minutes * MINUTE_MS) / everyMs; number++)
    noisy.push(jobOf("noisy", number, random.lognormal(balanced / 2, 0.7), Math.max(0, (number - scale.rpm) * everyMs)));
  const waits = (starts: Starts) => starts.flatMap(({ at, job }) => (job.tenant === "quiet" ? at - job.at : [])).sort((a, b) => a - b);
  const p99 = (all: number[]) => all[Math.ceil(all.length * 0.99) - 1]!;
  const serviceMs = [...quiet, ...noisy].reduce((most, job) => Math.max(most, costOf(job, scale)), 0) * MINUTE_MS;
  return {
    aloneMs: p99(waits(run(quiet, scale, seed))),
    besideMs: p99(waits(run([...quiet, ...noisy], scale, seed))),
    serviceMs,
  };
}
