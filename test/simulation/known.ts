/**
 * How close together tenants can be kept by an order that does not know the future: the gap (checks.ts) of an order that starts at the same instants and need
 * heed nothing else. Each time, the tenant that has had least starts: its ended calls count what they used, its running ones what its calls use on average,
 * which is known beforehand here. A tenant that arrives begins with the least that anybody has had; what the others have in flight counts as its average, so
 * nothing has to be made up for.
 */
import { fairnessGap } from "./checks.ts";
import type { Scale, SimJob } from "./loads.ts";

/** About how long a call takes without its answer's tokens, and how much each token adds, ms: as in world.ts, on average. */
const LATENCY_MS = { call: 520, token: 8 };
/** By then a submitted job may start, ms. */
const ARRIVAL_MS = 3;

type Line = { jobs: SimJob[]; next: number; had: number; waits: boolean; part: number };
type Call = { line: Line; endsAt: number; correction: number };

export function knownGap(instants: readonly number[], jobs: SimJob[], scale: Scale): number {
  const costOf = (tokens: number) => Math.max(1 / scale.rpm, tokens / scale.tpm);
  const lines = linesOf(jobs);
  const starts: { at: number; job: SimJob }[] = [];
  let calls: Call[] = [];
  let endsAt = Number.POSITIVE_INFINITY;
  for (const at of instants) {
    if (endsAt <= at) {
      for (const call of calls) if (call.endsAt <= at) call.line.had += call.correction;
      calls = calls.filter((call) => call.endsAt > at);
      endsAt = calls.reduce((least, call) => Math.min(least, call.endsAt), Number.POSITIVE_INFINITY);
    }
    const line = leastOf(lines, at);
    if (!line) continue;
    const job = line.jobs[line.next++]!;
    const likely = costOf(job.prompt + job.most * line.part);
    line.had += likely;
    const end = at + LATENCY_MS.call + job.output * LATENCY_MS.token;
    calls.push({ line, endsAt: end, correction: costOf(job.prompt + job.output) - likely });
    endsAt = Math.min(endsAt, end);
    starts.push({ at, job });
  }
  return fairnessGap(starts, jobs, scale);
}

function linesOf(jobs: SimJob[]): Line[] {
  return [...Map.groupBy(jobs, ({ tenant }) => tenant).values()].map((own) => {
    const sum = (of: (job: SimJob) => number) => own.reduce((all, job) => all + of(job), 0);
    const inTurn = own.toSorted((a, b) => a.at - a.priority * 1_000 - (b.at - b.priority * 1_000));
    return { jobs: inTurn, next: 0, had: 0, waits: false, part: sum(({ output }) => output) / sum(({ most }) => most) };
  });
}

/** Of the lines with a job that has arrived, the one that has had least. */
function leastOf(lines: Line[], at: number): Line | null {
  const waiting = lines.filter(({ jobs, next }) => next < jobs.length && jobs[next]!.at + ARRIVAL_MS <= at);
  const present = waiting.reduce((least, { had, waits }) => (waits ? Math.min(least, had) : least), Number.POSITIVE_INFINITY);
  for (const line of lines) {
    const waits = waiting.includes(line);
    if (waits && !line.waits && present < Number.POSITIVE_INFINITY) line.had = Math.max(line.had, present);
    line.waits = waits;
  }
  return waiting.reduce<Line | null>((least, line) => (least && least.had <= line.had ? least : line), null);
}
