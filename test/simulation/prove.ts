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
    "Printed by `npm run prove -- --write`: the coordinator's own code runs in virtual time (`test/simulation/`) against upstreams that count by their own rules.",
  );
  say(
    `The limits are ${SCALE.rpm} requests and ${SCALE.tpm} tokens a minute. The work lasts ${MINUTES} minutes at the scarcer of the two. A call takes 20 to 120 ms to reach upstream (J, the jitter, is 100 ms).`,
  );
  say();
  say(
    "- **utilisation** of the scarcer limit in the middle half of the run, over what the jitter leaves of a window of w seconds, w / (w + J). Above 100 % while a burst is being spent.",
  );
  say(
    "- **drain / optimum**: when the last call starts, over the optimum `max((sum - burst) / rate)`. For windows the optimum counts whole windows, the first of them open at once; no optimum starts a job before it came. To be safe for every delay within the jitter, nobody can do better on windows than (w + J) / w: 1.010 on windows of 10 s, 1.002 on windows of 60 s.",
  );
  say(
    "- **gap**: the greatest difference between two tenants' true service while both had work waiting, in units of the largest job. What a job leaves unused is known only when it ends, so calls in flight add to the gap where jobs use less than they reserve.",
  );
  say(
    "- **gap with averages known**: the same for a reference order that looks at fairness alone, starts jobs at the same instants, and knows in advance what each tenant's calls use on average (but not what any single call will use). Without knowing the future, one cannot expect to do better, except by chance.",
  );
  say(
    "- **ETA**, for waits above a second: how far the promised p50 was off (median), and how many jobs started within p95. In these runs nearly all jobs come at once, so nothing can be learned before the estimates are given.",
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
  }, ["gap with averages known"]);
}

/** What answers report, in words: how the upstream really counts, nothing, or a minute's bucket that it does not have. */
const TOLD = { true: "as it counts", none: "none", minute: "of a minute's bucket" } as const;

function learned(): void {
  say("## Sluice, with the burst learned");
  say();
  say(
    "The pool has no `burst_seconds`, so Sluice starts with one second and spends more at once where headers show that it may. An upstream whose headers claim a larger bucket than it has (`of a minute's bucket`) refuses part of what is tried; Sluice tries again after 10, 20, 40 minutes and so on. `in bursts` is a minute's work every five minutes for 12 hours, at a fifth of the rates; drain and utilisation say nothing there.",
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
    "A minute's work waits already, and jobs keep coming as fast as they can go, from tenants of different sizes, a tenth of them with a head start. Estimates count from the fifth minute on, while jobs still come; several seeds are taken together. Estimates of jobs that wait at the same time are off together. So are nearly all of a run's waits while its order changes, which on windows happens once: from then on jobs that mostly take tokens are let ahead and hardly wait. On windows of 60 s this is over after about ten minutes. On windows of 10 s, large jobs get ahead (where that is fair and delays the next job by no more than its own cost) about as often as they come. So chance decides when none of them is left in line: some time within the first seventy minutes (after ten if their tenant sends six tenths of all jobs instead of half, not within seventy if it sends four tenths). Jobs that were given an estimate just before wait up to a fifth longer than estimated. One run of twenty minutes therefore says little: the last columns show the standard error of the mean over the seeds, and the least and greatest value of a seed.",
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
    "standard error",
    "by seed",
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
  say("All tenants have jobs waiting, of different sizes. The lowest Jain's index of their dominant service over any minute of three:");
  say();
  row(["tenants", "Jain's index"]);
  row(["---", "---"]);
  for (const tenants of [2, 4, 8]) row([tenants, leastJain(tenants, SCALE, 1).toFixed(6)]);
  say();
  const { aloneMs, besideMs, serviceMs } = quietBesideNoisy(SCALE, 1);
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  say(
    `A quiet tenant sends a job every three seconds beside a neighbour with a thousand times that load and a backlog. The 99th percentile of its waits is ${ms(besideMs)}, and ${ms(aloneMs)} when it is alone; one service of the largest job takes ${ms(serviceMs)}.`,
  );
  say();
}

function others(): void {
  say(`## What people use instead, with ${THEIR_MINUTES} minutes of work`);
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
    `${report.done} jobs at 30,000 requests and 180,000,000 tokens a minute: ${report.events} events simulated in ${seconds.toFixed(0)} s, ${report.refused} 429s, drain over optimum ${report.drain.toFixed(4)}, utilisation ${percent(report.utilisation)}.`,
  );
  say();
}

const DEPTHS = [1_000, 10_000, 100_000, 1_000_000];

function costs(): void {
  say("## Cost of a start, 1,000 tenants waiting");
  say();
  say(
    "Each figure is for one start in a turn of its own, relative to the first line. `choose` is whose turn it is, and which of that tenant's jobs; `decide` is everything done in memory, including the budget and reading tickets back from storage; `whole turn` adds writing to a file on this machine.",
  );
  say(
    "With a thousand tickets each tenant has one, so a start leaves it with none to look at, and fewer tenants have a job of either kind that might go ahead. From ten thousand on the work is the same.",
  );
  say(
    "Beyond some 20,000 tickets those far from their start rest in storage. Each is read back once, 32 to a row, and by then its row is no longer in the database's cache.",
  );
  say();
  say(
    "However many wait, each tenant's next tickets stay in memory. `a ticket` is the average over all; `a ticket more` is what each ticket adds over the line above.",
  );
  say();
  row([
    "tickets waiting",
    "choose",
    "decide",
    "whole turn",
    "heap of all, MB",
    "a ticket, bytes",
    "a ticket more, bytes",
    "from waking to the first start",
  ]);
  row(["---", "---", "---", "---", "---", "---", "---", "---"]);
  costOf(10_000);
  const measured = DEPTHS.map(costOf);
  const least = measured[0]!.us;
  for (const [index, { queued, us, heapMb, bytesPerTicket, wakeMs }] of measured.entries()) {
    const before = measured[index - 1];
    const more = before && ((heapMb - before.heapMb) * 2 ** 20) / (queued - before.queued);
    row([
      queued,
      ...(["choose", "decide", "turn"] as const).map((part) => `${(us[part] / least[part]).toFixed(2)} (${us[part].toFixed(1)} µs)`),
      heapMb.toFixed(1),
      queued < 100_000 ? "" : bytesPerTicket.toFixed(0),
      queued < 100_000 ? "" : more!.toFixed(0),
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
    `${seeds} seeds: ${jobs} jobs and ${crashes} crashes of the coordinator between two steps, with lost and doubled messages and restarted dispatchers. Every job ended exactly once; ${duplicates} calls were made twice, each because its dispatcher died.`,
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
