/**
 * Calls that leave long after they were let go, because their dispatchers start cold or the machine is busy. Upstream's bucket, which was full, has not
 * refilled meanwhile.
 */
import { describe, expect, it } from "vitest";
import { faultyRun } from "./faulty.ts";
import { makeLoad, type SimJob } from "./loads.ts";
import { Random } from "./random.ts";
import { overflowOf, type Report, runSluice, settingsFor } from "./run.ts";
import { type Options, Sluice } from "./sluice.ts";
import { windowOf } from "./upstream.ts";
import { play, World } from "./world.ts";

const SCALE = { rpm: 1_200, tpm: 2_400_000 };
const RULES = ["bucket 60 s", "bucket 10 s"] as const;
type Rule = (typeof RULES)[number];
type Stall = NonNullable<Options["stallMs"]>;

/** By how much, in ms of the rate, the calls sent in some interval exceeded what upstream's buckets hold; the way there is left out. */
function beyondMs({ sends, upstream }: World): number {
  const { name, rpm, tpm } = upstream.rule;
  const level = { requests: 0, tokens: 0 };
  let [seen, worst] = [0, Number.NEGATIVE_INFINITY];
  for (const { at, job } of sends) {
    const cost = { requests: 60_000 / rpm, tokens: ((job.prompt + job.most) * 60_000) / tpm };
    for (const kind of ["requests", "tokens"] as const) {
      level[kind] = Math.max(0, level[kind] - (at - seen)) + cost[kind];
      worst = Math.max(worst, level[kind]);
    }
    seen = at;
  }
  return worst - windowOf(name).seconds * 1_000;
}

/** `lostMs`: how much later all is done, ms: no more than the stall, or twice that if the second start of what waited again is as late. */
const STALLS: { name: string; lostMs: number; stallMs: Stall }[] = [
  { name: "all that is let go at first leaves three seconds late", lostMs: 4_000, stallMs: (now) => Math.max(0, 3_000 - now) },
  { name: "all that is let go for twenty seconds leaves at their end", lostMs: 21_000, stallMs: (now) => Math.max(0, 20_000 - now) },
  {
    name: "of each thirty seconds, all of the first three at their end",
    lostMs: 7_000,
    stallMs: (now) => Math.max(0, 3_000 - (now % 30_000)),
  },
  { name: "each leaves by another time late, up to five seconds", lostMs: 6_000, stallMs: (_, random) => random.between(0, 5_000) },
  { name: "one in ten leaves eight seconds late", lostMs: 9_000, stallMs: (_, random) => (random.chance(0.1) ? 8_000 : 0) },
  { name: "all leave three seconds late, always", lostMs: 7_000, stallMs: () => 3_000 },
];

const doneAt = ({ jobs }: { jobs: SimJob[] }) => jobs.reduce((last, { sentAt }) => Math.max(last, sentAt!), 0);

describe.each(RULES)("against a %s", (rule) => {
  describe.each(["small first", "shuffled"] as const)("%s", (load) => {
    const scene = { rule, load, scale: SCALE, minutes: 2, seed: 1 };
    let calm: number | undefined;

    it.each(STALLS)("$name: none is refused, and only the stall is lost", ({ lostMs, stallMs }) => {
      const { jobs, report, world } = runSluice(scene, { stallMs });
      expect(report).toMatchObject({ refused: 0, done: report.jobs, twice: 0 } satisfies Partial<Report>);
      expect(beyondMs(world)).toBeLessThanOrEqual(0);
      calm ??= doneAt(runSluice(scene));
      expect(doneAt({ jobs }) - calm).toBeLessThan(lostMs);
    });
  });

  // Law: whatever leaves when, no interval holds more than upstream's bucket. That includes a pool that is hardly used: what it let go while its own bucket was
  // full again may still be on its way when much arrives at once.
  it.each([1, 2, 3, 4, 5, 6])("stalls by chance, a trickle and then a flood, seed %i: none is refused", (seed) => {
    const { jobs, world } = flood(rule, seed);
    expect(world.upstream.refused).toBe(0);
    expect(beyondMs(world)).toBeLessThanOrEqual(0);
    expect(jobs.every(({ done }) => done === 1)).toBe(true);
  });
});

// A window is missed as a whole: what waits for the next one loses up to all of it.
describe.each(["fixed 10 s", "sliding 60 s"] as const)("against windows, %s", (rule) => {
  const windowMs = windowOf(rule).seconds * 1_000;
  const limit = { requests: (SCALE.rpm * windowMs) / 60_000, tokens: (SCALE.tpm * windowMs) / 60_000 };

  describe.each(["small first", "shuffled"] as const)("%s", (load) => {
    const scene = { rule, load, scale: SCALE, minutes: 2, seed: 1 };
    let calm: number | undefined;

    it.each(STALLS)("$name: none is refused, and no window could have been overrun", ({ stallMs }) => {
      const { report, world } = runSluice(scene, { stallMs });
      expect(report).toMatchObject({ refused: 0, done: report.jobs, twice: 0 } satisfies Partial<Report>);
      expect(overflowOf(world.sends, windowMs, limit)).toBeNull();
    });

    // The first three begin and end within one window or between two.
    it.each(STALLS.slice(0, 3))("$name: only the stall is lost", ({ lostMs, stallMs }) => {
      calm ??= doneAt(runSluice(scene));
      expect(doneAt(runSluice(scene, { stallMs })) - calm).toBeLessThan(lostMs);
    });
  });
});

/** Half of what could go for two minutes; then, during one of the stalls, more than can go at once. */
function flood(rule: Rule, seed: number) {
  const random = new Random(seed);
  const jobs = makeLoad("shuffled", SCALE, 3, random);
  const [from, trickle] = [120_000 + random.between(0, 20_000), SCALE.rpm];
  for (const [index, job] of jobs.entries()) job.at = index < trickle ? (index / trickle) * from : from;
  const stalls = [{ from: from - random.between(0, 4_000), to: from + random.between(0, 6_000) }];
  for (let at = random.between(0, 20_000); at < from; at += random.between(5_000, 40_000))
    stalls.push({ from: at, to: at + random.between(0, 8_000) });
  const stallMs: Stall = (now) => Math.max(0, ...stalls.flatMap(({ from, to }) => (now >= from ? to - now : [])));
  const world = new World({ name: rule, ...SCALE, charge: "sum", refunds: false, countsRefused: true, phaseMs: 0 }, seed);
  play(world, jobs, new Sluice(world, { settings: settingsFor(rule, SCALE), volatile: true, stallMs }));
  return { jobs, world };
}

describe("beside deaths between two steps, lost, doubled and late messages", () => {
  it.each(Array.from({ length: 12 }, (_, index) => index + 1))("seed %i: every job ends once, and no budget is overspent", (seed) => {
    const stallMs: Stall = (_, random) => (random.chance(0.3) ? random.between(0, 6_000) : 0);
    expect(faultyRun(seed, {}, stallMs).problems).toEqual([]);
  });
});
