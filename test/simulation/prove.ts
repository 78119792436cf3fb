/** `npm run prove`: the table of `docs/proof.md`. `--write` stores it there; `--seeds N` sets how many worlds with faults are run. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { costOf } from "./cost.ts";
import { errorOf } from "./estimates.ts";
import { leastJain, quietBesideNoisy } from "./fairness.ts";
import { faultyRun } from "./faulty.ts";
import { knownGap } from "./known.ts";
import { LOADS, POOL } from "./loads.ts";
import { type Report, runSluice, runStrategy, type Scene, steadyWaits } from "./run.ts";
import { STRATEGIES } from "./strategies.ts";
import { RULES, type RuleName } from "./upstream.ts";

const SCALE = { rpm: 3_000, tpm: 6_000_000 };
const MINUTES = 10;
/** Fewer for strategies that are refused millions of times. */
const THEIR_MINUTES = 4;
/** Estimates of jobs that wait at the same time are off together: a run of twenty minutes shows half a dozen waits, not twenty thousand. */
const STEADY = [
  { minutes: 20, seeds: 24 },
  { minutes: 120, seeds: 4 },
];
/**
 * What is never refused learns nothing of how upstream counts, and where a minute's burst is known, a minute's work does not wait. So one seed is enough to
 * show that these are like others.
 */
const ALIKE = [
  { rule: "sliding 60 s", learns: false, as: "fixed 60 s" },
  { rule: "bucket 60 s", learns: true, as: "bucket 1 s" },
] as const;
const lines: string[] = [];
const say = (line = "") => {
  lines.push(line);
  process.stdout.write(`${line}\n`);
};

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const row = (cells: (string | number)[]) => say(`| ${cells.join(" | ")} |`);

function cells({ utilisation, refused, drain, gap, done, jobs, worstWait, eta }: Report): string[] {
  const told = eta ? `${percent(eta.off)} / ${percent(eta.covered)}` : "";
  // If work was thrown away, neither a time nor a share can be given.
  const whole = done === jobs ? [percent(utilisation), drain.toFixed(3)] : ["", ""];
  return [whole[0]!, `${refused}`, whole[1]!, gap.toFixed(2), `${jobs - done}`, worstWait.toFixed(0), told];
}

const HEAD = ["utilisation", "429s", "drain / optimum", "gap", "lost", "worst wait, s", "ETA: p50 off / within p95"];

function table(first: string[], body: () => void, last: string[] = []): void {
  row([...first, ...HEAD, ...last]);
  row([...first, ...HEAD, ...last].map(() => "---"));
  body();
  say();
}

function intro(): void {
  say("# Proof");
  say();
  say(
    "Printed by `npm run prove -- --write`. The coordinator's own code in virtual time (`test/simulation/`), against upstreams that count by their own rules.",
  );
  say(
    `${SCALE.rpm} requests and ${SCALE.tpm} tokens a minute; work for ${MINUTES} minutes of the scarcer of both; calls take 20 to 120 ms to arrive.`,
  );
  say();
  say(
    "- utilisation: of the scarcer limit, in the middle half of the run, over what the jitter leaves of a window (w / (w + J)); above 100 % while a burst is spent",
  );
  say(
    "- drain: the last call over `max((sum - burst) / rate)`; of windows over the whole ones that the sums need, the first of which is there at once; and nothing starts before it has come. Who is to be right whatever the delay cannot do better on windows than (w + J) / w: 1.010 on those of 10 s, 1.002 on those of 60 s",
  );
  say(
    "- gap: the greatest difference of two tenants' true service while both had work waiting, over the largest job. What a job turns out not to use is known only at its end: where jobs use less than they reserve, calls in flight add to it",
  );
  say(
    "- gap of one who knows: the same, of an order that heeds nothing but fairness, starts at the same instants, and knows beforehand what each tenant's calls use on average, but not what a single one will. Who does not know the future cannot be expected to do better, though by chance he may",
  );
  say(
    "- ETA: how far the promised p50 was off (median), and how many started within p95; of waits above a second. Here all jobs but a few come at once, so that nothing can be learned before they are told",
  );
  say();
}

function sluice(): void {
  say("## Sluice, by upstream's rule");
  say();
  const play = (rule: RuleName, load: (typeof LOADS)[number]) => {
    const { jobs, report, sluice } = runSluice({ rule, load, scale: SCALE, minutes: MINUTES, seed: 1 });
    const known = knownGap(
      sluice.starts.map(({ at }) => at),
      jobs,
      SCALE,
    );
    row([rule, load, ...cells(report), known.toFixed(2)]);
  };
  table(["rule", "load"], () => {
    for (const rule of RULES) for (const load of LOADS) play(rule, load);
  }, ["gap of one who knows"]);
}

/** What answers report, in words: how the upstream really counts, nothing, or a minute's bucket that it does not have. */
const TOLD = { true: "as it counts", none: "none", minute: "of a minute's bucket" } as const;

function learned(): void {
  say("## Sluice, with the burst learned");
  say();
  say(
    "The pool has no `burst_seconds`: a second, and more where headers show it. Of a bucket of a minute there are no other headers than its own. An upstream whose headers tell of a larger bucket than it has refuses a part of what is tried once, and again after 10, 20, 40 minutes and so on; `in bursts`: a minute's work each five minutes, for 12 hours, at a fifth of the rates (drain and utilisation tell nothing there).",
  );
  say();
  const told = (rule: RuleName) => (rule === "bucket 60 s" ? (["true", "none"] as const) : (["true", "none", "minute"] as const));
  const scenes = (["bucket 60 s", "bucket 10 s", "bucket 1 s"] as const).flatMap((rule) =>
    told(rule).flatMap((headers) => [
      ...LOADS.map((load) => ({ rule, headers, load, scale: SCALE, minutes: MINUTES })),
      { rule, headers, load: "in bursts" as const, scale: { rpm: SCALE.rpm / 5, tpm: SCALE.tpm / 5 }, minutes: 720 },
    ]),
  );
  table(["rule", "headers", "load"], () => {
    for (const scene of scenes) {
      const { report, sluice } = runSluice({ ...scene, seed: 1, learns: true });
      const { bursts } = sluice.book.limits.of(POOL)!;
      const [utilisation, refused, drain, ...rest] = cells(report);
      const steady = scene.load !== "in bursts";
      const shown = [steady ? utilisation! : "", refused!, steady ? drain! : "", ...rest];
      const burst = `${bursts.seconds("requests").toFixed(0)} / ${bursts.seconds("tokens").toFixed(0)}`;
      row([scene.rule, TOLD[scene.headers], scene.load, ...shown, burst]);
    }
  }, ["burst in the end, s: requests / tokens"]);
}

function steady(rule: RuleName, minutes: number, seeds: number): void {
  const runs = Array.from({ length: seeds }, (_, index) => steadyWaits({ rule, seed: index + 1, scale: SCALE, minutes }));
  const { bias, covered, off, waits } = errorOf(runs.flat())!;
  const each = runs.map((run) => errorOf(run)!.covered);
  const told = `${percent(Math.min(...each))} to ${percent(Math.max(...each))}`;
  row([rule, "known", minutes, seeds, waits, percent(off), percent(bias), percent(covered), `± ${percent(standardError(each))}`, told]);
}

function steadyAlike({ as, learns, rule }: (typeof ALIKE)[number], minutes: number): void {
  const [own, other] = [{ rule, learns }, { rule: as }].map((scene) => steadyWaits({ ...scene, seed: 1, scale: SCALE, minutes }));
  const { bias, covered, off, waits } = errorOf(own!)!;
  const same = isDeepStrictEqual(own, other) ? `as \`${as}\`, wait by wait` : `not as \`${as}\``;
  row([rule, learns ? "learned" : "known", minutes, 1, waits, percent(off), percent(bias), percent(covered), "", same]);
}

/** Standard error of the mean of these. */
function standardError(numbers: number[]): number {
  const mean = numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
  const squares = numbers.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  return Math.sqrt(squares / (numbers.length - 1) / numbers.length);
}

function estimates(): void {
  say("## Estimates on a steady load");
  say();
  say(
    "Behind a minute's work that waits already, as much comes as can go, from tenants of unlike size, a tenth of it with a head start; told from the fifth minute on, and while as much came; several seeds together. Those who wait at one time are off together, and so are nearly all of a run's waits while its order changes: beside windows it does once, and from then on the jobs that mostly take tokens are let ahead and hardly wait. Where windows are of 60 s that is over after about ten minutes. Where they are of 10 s, large jobs find a turn in which that is fair, and keeps the next no longer than its own cost, about as often as they come: so it is chance when none is left in line, at some time within the first seventy minutes (of a tenant that sends six tenths of all in place of half after ten, of one that sends four tenths not within seventy), and who was told just before waits up to a fifth longer than was told. So one run of twenty minutes says little: the last columns tell how far the mean of the seeds can be off by chance (its standard error), and the least and the most of a seed.",
  );
  say();
  row([
    "rule",
    "burst",
    "minutes",
    "seeds",
    "waits",
    "p50 off (median)",
    "p50 off (median, signed)",
    "within p95",
    "by chance",
    "of a seed",
  ]);
  row(Array(10).fill("---"));
  for (const { minutes, seeds } of STEADY) {
    for (const rule of ["bucket 1 s", "bucket 10 s", "fixed 10 s", "fixed 60 s"] as const) steady(rule, minutes, seeds);
    for (const alike of ALIKE) steadyAlike(alike, minutes);
  }
  say();
}

function fairness(): void {
  say("## Shares");
  say();
  say("Tenants that all wait, with jobs of unlike sizes: the least of Jain's index of their dominant service, over any minute of three.");
  say();
  row(["tenants", "Jain's index"]);
  row(["---", "---"]);
  for (const tenants of [2, 4, 8]) row([tenants, leastJain(tenants, SCALE, 1).toFixed(6)]);
  say();
  const { aloneMs, besideMs, serviceMs } = quietBesideNoisy(SCALE, 1);
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  say(
    `A job every three seconds beside a neighbour with a thousand times that load, and a backlog: 99th percentile of its waits ${ms(besideMs)}, alone ${ms(aloneMs)}; one service, of the largest job, takes ${ms(serviceMs)}.`,
  );
  say();
}

function others(): void {
  say(`## What people use instead, with work for ${THEIR_MINUTES} minutes`);
  say();
  table(["strategy", "rule", "load"], () => {
    for (const [name, make] of Object.entries(STRATEGIES)) {
      for (const rule of ["bucket 60 s", "bucket 1 s", "fixed 60 s"] as const) {
        for (const load of ["big first", "shuffled", "two tenants"] as const) {
          const scene: Scene = { rule, load, scale: SCALE, minutes: THEIR_MINUTES, seed: 1 };
          row([name, rule, load, ...cells(runStrategy(scene, make))]);
        }
      }
    }
  });
}

function million(): void {
  const scene: Scene = {
    rule: "bucket 1 s",
    load: "shuffled",
    scale: { rpm: 30_000, tpm: 180_000_000 },
    minutes: 1_000_000 / 30_000,
    seed: 1,
  };
  const began = performance.now();
  const { report } = runSluice(scene);
  const seconds = (performance.now() - began) / 1_000;
  say("## A million jobs");
  say();
  say(
    `${report.done} jobs at 30,000 requests and 180,000,000 tokens a minute: ${report.events} events in ${seconds.toFixed(0)} s; ${report.refused} 429s, drain over optimum ${report.drain.toFixed(4)}, utilisation ${percent(report.utilisation)}.`,
  );
  say();
}

const DEPTHS = [1_000, 10_000, 100_000, 1_000_000];

function costs(): void {
  say("## Cost of a start, 1,000 tenants waiting");
  say();
  say(
    "Of one start in a turn of its own, over what it takes where the fewest wait: to choose whose turn it is, and which of its jobs; to decide, which is all that is done in memory, the budget and what wakes from its rest included; and the whole turn, with what it writes of it, in a file on this machine.",
  );
  say(
    "A thousand tickets are one for each tenant: there its start leaves a tenant with nothing to look at, and fewer have a job of either kind that might go ahead. From ten thousand on the work is the same.",
  );
  say(
    "Beyond some 20,000 tickets a start takes its part of what cannot be spared: each ticket that rested is read back once, 32 in a row of storage, and its segment's row, which is one where few wait as well, then lies outside the database's cache.",
  );
  say();
  row(["tickets waiting", "choose", "decide", "whole turn", "heap of all, MB", "a ticket, bytes", "from waking to the first start"]);
  row(["---", "---", "---", "---", "---", "---", "---"]);
  costOf(10_000);
  const measured = DEPTHS.map(costOf);
  const least = measured[0]!.us;
  for (const { queued, us, heapMb, bytesPerTicket, wakeMs } of measured) {
    row([
      queued,
      ...(["choose", "decide", "turn"] as const).map((part) => `${(us[part] / least[part]).toFixed(2)} (${us[part].toFixed(1)} µs)`),
      heapMb.toFixed(1),
      queued < 100_000 ? "" : bytesPerTicket.toFixed(0),
      `${wakeMs.toFixed(0)} ms`,
    ]);
  }
  say();
}

function faults(seeds: number): void {
  let [crashes, duplicates, jobs] = [0, 0, 0];
  for (let seed = 1; seed <= seeds; seed++) {
    const run = faultyRun(seed);
    crashes += run.crashes;
    duplicates += run.callsMadeTwice;
    jobs += run.jobs;
    if (run.problems.length > 0) throw new Error(`seed ${seed}: ${run.problems.join("; ")}`);
  }
  say("## Worlds with faults");
  say();
  say(
    `${seeds} seeds: ${jobs} jobs, ${crashes} deaths of the coordinator between two steps, with lost and doubled messages and dispatchers that are made anew. Every job ended once; ${duplicates} calls were made twice, each by a dispatcher that died.`,
  );
}

const at = process.argv.indexOf("--seeds");
intro();
sluice();
learned();
estimates();
fairness();
others();
million();
costs();
faults(at < 0 ? 200 : Number(process.argv[at + 1]));
if (process.argv.includes("--write"))
  writeFileSync(fileURLToPath(import.meta.resolve("../../docs/proof.md")), `${lines.join("\n").trimEnd()}\n`);
