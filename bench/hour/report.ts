/** What the hour came to. */
import type { Ended } from "./jobs.ts";
import { isOpen } from "./programme.ts";
import type { Hour, Passed, Sample } from "./run.ts";

export type Figures = {
  utilisation: number;
  own429: number;
  foreign429: number;
  billing429: number;
  slowDown429: number;
  lost: number;
  failed: number;
  duplicates: number;
  unexplained: string[];
  retriesPerJob: number;
};

/**
 * Of the requests, which are what binds. Counted while work waits: what was used, by whomever, over what there was. `savesSeconds`: a bucket has kept that much
 * of the time before, so it is there on top; a log of the last minute keeps nothing.
 */
export function utilisation(phases: readonly Passed[], savesSeconds: number): number {
  const mostSaved = savesSeconds * 1_000;
  let [used, there, saved] = [0, 0, mostSaved];
  for (const { phase, limits, from, to, before, after } of phases) {
    const calls = after.admitted + after.others - before.admitted - before.others;
    const perMs = limits.rpm / 60_000;
    if (!isOpen(phase)) {
      saved = Math.max(0, Math.min(mostSaved, saved + to - from - calls / perMs));
      continue;
    }
    used += calls;
    there += perMs * (to - from + saved);
    saved = 0;
  }
  return used / there;
}

/** Calls beyond the first that the account paid for, and those of them that the job itself does not admit to. */
export function duplicates(
  paidAgain: ReadonlyMap<string, number>,
  ended: ReadonlyMap<string, Ended>,
): { calls: number; unexplained: string[] } {
  let calls = 0;
  const unexplained: string[] = [];
  for (const [label, paid] of paidAgain) {
    calls += paid - 1;
    if (paid - 1 > (ended.get(label)?.possible_duplicates ?? 0)) unexplained.push(label);
  }
  return { calls, unexplained };
}

/** Seconds from `from` until `share` of the limit was used, by whomever, for `windowMs`; null if that never came. */
export function resumed(samples: readonly Sample[], from: number, rpm: number, share: number, windowMs = 5_000): number | null {
  for (const { at, books } of samples) {
    if (at < from + windowMs) continue;
    const start = samples.findLast((sample) => sample.at <= at - windowMs)?.books;
    const used = start === undefined ? 0 : books.admitted + books.others - start.admitted - start.others;
    if (used >= ((share * rpm) / 60_000) * windowMs) return (at - from) / 1_000;
  }
  return null;
}

/** Seconds from `from` until a call of ours was let in; null if none was. */
export function firstCall(samples: readonly Sample[], from: number): number | null {
  const before = samples.findLast(({ at }) => at <= from)?.books.admitted ?? 0;
  const first = samples.find(({ at, books }) => at > from && books.admitted > before);
  return first === undefined ? null : (first.at - from) / 1_000;
}

export function figures({ phases, accepted, ended, lost, books }: Hour, savesSeconds: number): Figures {
  const { calls, unexplained } = duplicates(books.paidAgain, ended);
  return {
    utilisation: utilisation(phases, savesSeconds),
    own429: books.own429,
    foreign429: books.foreign429,
    billing429: books.billing429,
    slowDown429: books.slowDown429,
    lost: lost.length,
    failed: [...ended.values()].filter(({ status }) => status !== "completed").length,
    duplicates: calls,
    unexplained,
    retriesPerJob: books.calls / accepted - 1,
  };
}

/** By phase. A bucket that was full may give more than the limit for a while. */
export function table(phases: readonly Passed[]): string {
  const head = ["phase", "s", "limit/min", "ours", "others", "used", "own 429", "foreign 429", "billing 429", "slow_down", "others' 429"];
  const rows = phases.map(({ phase, limits, from, to, before, after }) => {
    const seconds = (to - from) / 1_000;
    const [ours, others] = [after.admitted - before.admitted, after.others - before.others];
    const used = phase.work && !phase.halted && phase.day === null ? percent((ours + others) / ((limits.rpm * seconds) / 60)) : "";
    const refused = (["own429", "foreign429", "billing429", "slowDown429", "othersRefused"] as const).map(
      (name) => after[name] - before[name],
    );
    return [phase.name, seconds.toFixed(0), `${limits.rpm}`, `${ours}`, `${others}`, used, ...refused.map(String)];
  });
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ");
  return [head, ...rows].map(line).join("\n");
}

export function summary(hour: Hour, savesSeconds: number): string {
  const found = figures(hour, savesSeconds);
  const phase = (name: string) => hour.phases.find((passed) => passed.phase.name === name)!;
  const full = (name: string) => resumed(hour.samples, phase(name).from, phase(name).limits.rpm, 0.9);
  return [
    `utilisation of the binding limit (requests)  ${percent(found.utilisation)}`,
    `self-inflicted 429s                          ${found.own429}`,
    `foreign-caused 429s                          ${found.foreign429}`,
    `billing 429s                                 ${found.billing429}`,
    `slow_down                                    ${found.slowDown429}`,
    `jobs accepted / not completed / lost         ${hour.accepted} / ${found.failed} / ${found.lost}`,
    `duplicate calls / unexplained                ${found.duplicates} / ${found.unexplained.length}`,
    `retries a job, calls refused included        ${found.retriesPerJob.toFixed(3)}`,
    `to 90 % of the limit after others stopped    ${seconds(full("others stop"))}`,
    `to 90 % of the limit after it was restored   ${seconds(full("limit restored"))}`,
    `to 90 % of the limit once headers are back   ${seconds(full("headers again, others gone"))}`,
    `to the first call after the billing halt     ${seconds(firstCall(hour.samples, phase("money again").from))}`,
    `to 90 % of the limit after the billing halt  ${seconds(full("money again"))}`,
    `to 90 % of the limit once a cut is lifted     ${seconds(full("an operator lifts the cut"))}`,
    `to 90 % of the limit after a day's limit      ${seconds(full("the day's limit is gone"))}`,
    ...found.unexplained.map((label) => `UNEXPLAINED: job ${label} was paid for ${hour.books.paidAgain.get(label)} times`),
    ...hour.lost.map((label) => `LOST: job ${label}`),
  ].join("\n");
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const seconds = (value: number | null) => (value === null ? "never" : `${value.toFixed(1)} s`);
