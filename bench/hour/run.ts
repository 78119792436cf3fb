/** One upstream's hour, in real time: phase after phase, with the books read four times a second. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Bundle, launch } from "../../scripts/runtime.ts";
import { type Ended, Jobs, type Work } from "./jobs.ts";
import { HOUR, HOUR_MINUTES, type Phase } from "./programme.ts";
import type { Books, Limits, Upstream } from "./upstreams.ts";

/** `at`: ms since the start. */
export type Sample = { at: number; books: Books };
export type Passed = { phase: Phase; limits: Limits; from: number; to: number; before: Books; after: Books };
export type Hour = {
  limits: Limits;
  phases: Passed[];
  samples: Sample[];
  accepted: number;
  ended: ReadonlyMap<string, Ended>;
  lost: string[];
  /** At the very end. */
  books: Books;
};

const SAMPLE_MS = 250;
/** Outstanding jobs while there is work: enough to fill the pipe, few enough to run out within a phase. Small ones in seconds of the whole limit; large ones each so much of a minute's tokens. */
const WAITING_SECONDS = 5;
const LARGE = { jobs: 15, part: 1 / 50 };
const SMALL_TOKENS = 40;
/** For the last jobs: longer than anything that has come to pass by then keeps a pool. */
const PATIENCE_MS = 240_000;

/** @param minutes how long the hour takes. */
export async function runHour(sluice: Bundle, upstream: Upstream, limits: Limits, minutes: number): Promise<Hour> {
  const pools = { default: { ...limits, ...upstream.pool } };
  const vars = {
    OPENAI_API_KEY: "sk-bench",
    OPENAI_BASE_URL: `${upstream.url}/v1`,
    SLUICE_LOCAL: "1",
    SLUICE_POOLS: JSON.stringify(pools),
  };
  const runtime = await launch({ bundle: sluice, port: 0, state: null, vars });
  const jobs = new Jobs(runtime.url, upstream);
  const watch = new Watch(upstream);
  try {
    await jobs.follow();
    const phases: Passed[] = [];
    for (const phase of HOUR) {
      const from = phases.at(-1)?.to ?? 0;
      phases.push(await pass({ phase, jobs, upstream, limits, watch }, from, from + (phase.minutes / HOUR_MINUTES) * minutes * 60_000));
    }
    const lost = await jobs.drain(PATIENCE_MS, () => watch.look());
    return { limits, phases, samples: watch.samples, accepted: jobs.accepted, ended: jobs.ended, lost, books: (await watch.look()).books };
  } finally {
    jobs.stop();
    await runtime.stop();
  }
}

/** Reads the books, and keeps what it saw and when. */
class Watch {
  readonly samples: Sample[] = [];
  private readonly upstream: Upstream;
  private readonly began = Date.now();

  constructor(upstream: Upstream) {
    this.upstream = upstream;
  }

  get elapsed(): number {
    return Date.now() - this.began;
  }

  async look(): Promise<Sample> {
    const sample = { books: await this.upstream.books(), at: this.elapsed };
    this.samples.push(sample);
    return sample;
  }
}

type Scene = { phase: Phase; jobs: Jobs; upstream: Upstream; limits: Limits; watch: Watch };

async function pass({ phase, jobs, upstream, limits, watch }: Scene, from: number, to: number): Promise<Passed> {
  const before = await watch.look();
  const inForce = share(limits, phase.limit);
  const day = phase.day === null ? null : Math.ceil(phase.day * inForce.rpm * ((to - from) / 60_000));
  await upstream.limits(inForce, day);
  await upstream.headers(phase.headers);
  await upstream.faults(phase.gateway, phase.slowDown);
  await upstream.others(phase.others > 0 ? share(limits, phase.others) : null);
  await upstream.halt(phase.halted);
  const work = inWork(limits, phase.large);
  while (watch.elapsed < to) {
    if (phase.work) await jobs.fill(work);
    await sleep(Math.max(0, Math.min(SAMPLE_MS, to - watch.elapsed)));
    await watch.look();
  }
  const after = await watch.look();
  process.stderr.write(`  ${phase.name.padEnd(32)} ${jobs.ended.size} of ${jobs.accepted} jobs have ended\n`);
  return { phase, limits: inForce, from, to, before: before.books, after: after.books };
}

/** What is outstanding all the time. */
export function inWork({ rpm, tpm }: Limits, large: boolean): Work {
  if (large) return { jobs: LARGE.jobs, promptTokens: Math.round(tpm * LARGE.part) };
  return { jobs: Math.ceil((rpm / 60) * WAITING_SECONDS), promptTokens: SMALL_TOKENS };
}

function share({ rpm, tpm }: Limits, part: number): Limits {
  return { rpm: rpm * part, tpm: tpm * part };
}
