/** What the hour came to. */
import type { Ended } from "./jobs.ts";
import { isOpen } from "./programme.ts";
import type { Hour, Passed, Sample } from "./run.ts";
import type { Books } from "./upstreams.ts";

export type Figures = {
  utilisation: number;
  tokenUtilisation: number;
  own429: number;
  foreign429: number;
  billing429: number;
  slowDown429: number;
  lost: number;
  wronglyFailed: { label: string; why: string }[];
  duplicates: number;
  unexplained: string[];
  retriesPerJob: number;
};

type Resource = "requests" | "tokens";

/** What was used of it so far, by whomever. */
const usedOf: Record<Resource, (books: Books) => number> = {
  requests: ({ admitted, others }) => admitted + others,
  tokens: ({ tokens, othersTokens }) => tokens + othersTokens,
};

/**
 * Of what binds: of requests, and where prompts are large of tokens. Counted while work waits: what was used, by whomever, over what there was. `savesSeconds`: a
 * bucket has kept that much of the time before, so it is there on top; a log of the last minute keeps nothing. `only`: where that is what binds.
 */
export function utilisation(phases: readonly Passed[], savesSeconds: number, only?: Resource): number {
  const mostSaved = savesSeconds * 1_000;
  const saved = { requests: mostSaved, tokens: mostSaved };
  // Both in ms of the limit.
  let [used, there] = [0, 0];
  for (const { phase, limits, from, to, before, after } of phases) {
    for (const resource of ["requests", "tokens"] as const) {
      const perMs = (resource === "requests" ? limits.rpm : limits.tpm) / 60_000;
      const spent = (usedOf[resource](after) - usedOf[resource](before)) / perMs;
      const binds = isOpen(phase) && phase.large === (resource === "tokens");
      if (binds && (only ?? resource) === resource) {
        used += spent;
        there += to - from + saved[resource];
      }
      saved[resource] = binds ? 0 : Math.max(0, Math.min(mostSaved, saved[resource] + to - from - spent));
    }
  }
  return used / there;
}

/** Nothing in the hour lets upstream refuse a job for what it is, or a job give up: of each it would have taken a call sooner or later. */
export function wronglyFailed(ended: ReadonlyMap<string, Ended>): { label: string; why: string }[] {
  return [...ended].flatMap(([label, { error, status }]) =>
    status === "completed" ? [] : [{ label, why: [status, error?.code ?? []].flat().join(", ") }],
  );
}

/** What must not be, however good the rest is. */
export function isAmiss({ lost, unexplained, wronglyFailed: failed }: Pick<Figures, "lost" | "unexplained" | "wronglyFailed">): boolean {
  return lost + unexplained.length + failed.length > 0;
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
    tokenUtilisation: utilisation(phases, savesSeconds, "tokens"),
    own429: books.own429,
    foreign429: books.foreign429,
    billing429: books.billing429,
    slowDown429: books.slowDown429,
    lost: lost.length,
    wronglyFailed: wronglyFailed(ended),
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
    const used = phase.work && !phase.halted && phase.day === null ? percent(usedIn({ phase, limits, from, to, before, after })) : "";
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

/** Of what binds in a phase, the share of the limit that was used. */
function usedIn({ phase, limits, from, to, before, after }: Passed): number {
  const resource = phase.large ? "tokens" : "requests";
  const limit = (phase.large ? limits.tpm : limits.rpm) / 60_000;
  return (usedOf[resource](after) - usedOf[resource](before)) / (limit * (to - from));
}

export function summary(hour: Hour, savesSeconds: number): string {
  const found = figures(hour, savesSeconds);
  const phase = (name: string) => hour.phases.find((passed) => passed.phase.name === name)!;
  const full = (name: string) => resumed(hour.samples, phase(name).from, phase(name).limits.rpm, 0.9);
  return [
    `utilisation of the limit that binds          ${percent(found.utilisation)}`,
    `  in phases where tokens bind                ${percent(found.tokenUtilisation)}`,
    `self-inflicted 429s                          ${found.own429}`,
    `foreign-caused 429s                          ${found.foreign429}`,
    `billing 429s                                 ${found.billing429}`,
    `slow_down                                    ${found.slowDown429}`,
    `jobs accepted / wrongly failed / lost        ${hour.accepted} / ${found.wronglyFailed.length} / ${found.lost}`,
    `duplicate calls / unexplained                ${found.duplicates} / ${found.unexplained.length}`,
    `retries per job, refused calls included      ${found.retriesPerJob.toFixed(3)}`,
    `to 90 % of the limit after others stopped    ${seconds(full("others stop"))}`,
    `to 90 % of the limit after it was restored   ${seconds(full("limit restored"))}`,
    `to 90 % of the limit once headers are back   ${seconds(full("headers again, others gone"))}`,
    `to the first call after the billing halt     ${seconds(firstCall(hour.samples, phase("money again").from))}`,
    `to 90 % of the limit after the billing halt  ${seconds(full("money again"))}`,
    `to 90 % of the limit after a day's limit     ${seconds(full("the day's limit is gone"))}`,
    `used of the limit while a slow_down fades    ${percent(usedIn(phase("back from it by itself")))}`,
    ...found.unexplained.map((label) => `UNEXPLAINED: job ${label} was paid for ${hour.books.paidAgain.get(label)} times`),
    ...found.wronglyFailed.map(({ label, why }) => `WRONGLY FAILED: job ${label} (${why})`),
    ...hour.lost.map((label) => `LOST: job ${label}`),
  ].join("\n");
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const seconds = (value: number | null) => (value === null ? "never" : `${value.toFixed(1)} s`);
