/** A small world in which everything breaks until, after a while, that stops: then every job must have reached its one end. */
import type { Book, Pool } from "../../durable-objects/coordinator/book.ts";
import { readiness } from "../../policy/budget.ts";
import { overflowOf } from "./checks.ts";
import type { Faults } from "./lines.ts";
import { LOADS } from "./loads.ts";
import { Random } from "./random.ts";
import { runSluice } from "./run.ts";
import type { Options } from "./sluice.ts";

export type FaultyRun = { jobs: number; crashes: number; callsMadeTwice: number; problems: string[] };

const SCALE = { rpm: 600, tpm: 1_200_000 };
/** In a minute: the rate, plus the ten seconds that may be spent at once. */
const BURST_AND_RATE = 1 + 10 / 60;
const FAULTS_END_MS = 60_000;

/** `faults` overrides what the seed would draw; `stallMs` is as in `Options`. */
export function faultyRun(seed: number, faults: Faults = {}, stallMs: Options["stallMs"] = () => 0): FaultyRun {
  const random = new Random(seed);
  const load = LOADS[Math.floor(random.next() * LOADS.length)]!;
  const drawn: Faults = {
    lose: random.chance(0.5) ? 0.1 * random.next() : 0,
    double: random.chance(0.5) ? 0.1 * random.next() : 0,
    die: random.chance(0.7) ? 0.03 * random.next() : 0,
    restart: random.chance(0.5) ? 0.03 * random.next() : 0,
    until: FAULTS_END_MS,
    ...faults,
  };
  const problems: string[] = [];
  const watch = (book: Book, now: number) => {
    const problem = invariantOf(book, now);
    if (problem && problems.length < 3) problems.push(`at ${now} ms: ${problem}`);
  };

  const scene = { load, rule: "bucket 10 s" as const, scale: SCALE, minutes: 0.75, seed };
  const awakeMost = random.chance(0.5) ? random.between(1, 100) : Number.POSITIVE_INFINITY;
  const { world, jobs, sluice } = runSluice(scene, { faults: drawn, volatile: false, awakeMost, watch, stallMs });
  const late = jobs.filter((job) => sluice.rows.get(job.id)?.ended === null);
  if (late.length > 0) problems.push(`${late.length} jobs never ended, the first ${late[0]!.id}`);
  const failed = jobs.filter((job) => sluice.rows.get(job.id)?.ended === "failed");
  if (failed.length > 0) problems.push(`${failed.length} jobs failed, the first ${failed[0]!.id}`);
  if (jobs.some(({ done }) => done > 1)) problems.push("a result was committed twice");
  if (sluice.book.entries.size > 0) problems.push(`${sluice.book.entries.size} tickets are left`);
  if ([...sluice.book.resting.runs].length > 0) problems.push("some rest for ever");
  const overflow = overflowOf(world.sends, 60_000, { requests: SCALE.rpm * BURST_AND_RATE, tokens: SCALE.tpm * BURST_AND_RATE });
  if (overflow) problems.push(`more than burst and rate within a minute from ${overflow.from} ms on`);
  if (world.upstream.refused > 0) problems.push(`${world.upstream.refused} calls were refused`);
  return { jobs: jobs.length, crashes: sluice.crashes, callsMadeTwice: world.sends.length - jobs.length, problems };
}

/** What must hold after every turn. */
function invariantOf(book: Book, now: number): string | null {
  for (const pool of book.pools.values()) {
    let [leased, waiting, tokens] = [0, 0, 0];
    for (const { row } of book.entries.values()) {
      if (row.phase === "leased") leased++;
      if (row.phase !== "waiting") continue;
      waiting++;
      tokens += row.tokens;
    }
    if (waiting !== book.awake) return `${waiting} are awake, ${book.awake} are counted`;
    for (const run of book.resting.runs) {
      waiting += run.size;
      tokens += run.tokens;
    }
    if (tokens !== pool.waitingTokens) return `${tokens} tokens wait, ${pool.waitingTokens} are counted`;
    for (const lane of pool.order.lanes.values()) if (lane.due()) return `of ${lane.flow} the next one rests`;
    if (leased !== pool.budget.inFlight) return `${leased} leases, ${pool.budget.inFlight} in flight`;
    if (waiting !== pool.order.size) return `${waiting} tickets wait, ${pool.order.size} stand in the order`;
    for (const { rate, resource, tally, whole } of pool.budget.meters) {
      if (tally.free(now) < rate.burst - whole - rate.perMs * 5_000 - 1e-6) return `${resource} is overdrawn`;
    }
    const idle = idlenessOf(pool, now);
    if (idle) return idle;
  }
  return null;
}

/** Promise 2: what fits starts at once, and anything else as soon as it fits. */
function idlenessOf({ budget, order, wakeAt }: Pool, now: number): string | null {
  const { head } = order;
  const fitsAt = head && readiness(budget, head.tokens, now).at;
  if (fitsAt === undefined || wakeAt <= fitsAt) return null;
  return fitsAt <= now ? "work waits that fits" : `work waits that fits at ${fitsAt}, and nobody will look before ${wakeAt}`;
}
