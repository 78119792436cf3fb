/** What memory must know of a segment whose tickets rest. */
import { spotOf } from "../../platform/ids.ts";
import { dominantKind } from "../../policy/budget.ts";
import type { Kind } from "../../policy/lane.ts";
import { type Place, precedes, type Waiting } from "../../policy/queue.ts";
import type { Entry, Pool } from "./book.ts";
import { MOST } from "./segments.ts";
import type { Summary } from "./store/store.ts";
import { waitingOf } from "./waiting.ts";

/** Lists of a single small number are shared: nearly all lists are such. */
const SINGLES = Array.from({ length: MOST + 1 }, (_, count): readonly number[] => [count]);

/** How many jobs of each priority take more of the requests; guessed where it was not written. */
export function requestsOf({ firstOf, priorities, requests }: Summary): readonly number[] {
  const part = firstOf.requests ? (firstOf.tokens ? 1 / 2 : 1) : 0;
  const counts = requests ?? priorities.map(([, size]) => Math.round(size * part));
  return (counts.length === 1 && SINGLES[counts[0]!]) || counts;
}

/** Null if one of them could not be found again by its id. */
export function summaryOf({ budget, id }: Pool, entries: readonly Entry[]): Summary | null {
  const jobs = entries
    .map((entry) => entry.waiting ?? waitingOf(entry.row, { flow: entry.flow, tenant: entry.address.tenant }))
    .sort((a, b) => (precedes(a, b) ? -1 : 1));
  const spots = jobs.flatMap(({ job }) => spotOf(job) ?? []);
  if (spots.length < jobs.length) return null;
  const numbers = spots.map(({ number }) => number);
  const deadlines = entries.flatMap(({ row }) => row.deadline ?? []);
  const placeOf = (found: Place | undefined): Place | null => (found ? { effectiveAt: found.effectiveAt, arrival: found.arrival } : null);
  const isOf = (kind: Kind) => (each: Waiting) => dominantKind(budget, each.tokens) === kind;
  const firstOf = (kind: Kind) => placeOf(jobs.find(isOf(kind)));
  const sizes = jobs.map(({ tokens }) => tokens).sort((a, b) => a - b);
  const bands = [...Map.groupBy(jobs, ({ priority }) => priority)];
  return {
    pool: id,
    size: jobs.length,
    tokens: jobs.reduce((sum, { tokens }) => sum + tokens, 0),
    smallest: sizes[0]!,
    ...(sizes[0] !== sizes.at(-1) && { sizes: sampleOf(sizes) }),
    priorities: bands.map(([priority, each]) => [priority, each.length]),
    requests: bands.map(([, each]) => each.filter(isOf("requests")).length),
    ...(bands.length > 1 && { bands: bands.map(([, each]): [Place, Place] => [placeOf(each[0])!, placeOf(each.at(-1))!]) }),
    since: Math.min(...jobs.map(({ since }) => since)),
    deadline: deadlines.length > 0 ? Math.min(...deadlines) : null,
    first: placeOf(jobs[0])!,
    last: placeOf(jobs.at(-1))!,
    firstOf: { requests: firstOf("requests"), tokens: firstOf("tokens") },
    arrival: Math.max(...jobs.map(({ arrival }) => arrival)),
    site: spots[0]!.site,
    numbers: [Math.min(...numbers), Math.max(...numbers)],
  };
}

/** How many sizes a summary names at most. With more of them, a job at rest would take noticeably more memory. */
const SAMPLE = 9;

/** From sorted sizes. */
function sampleOf(sizes: readonly number[]): number[] {
  const count = Math.min(SAMPLE, sizes.length);
  return Array.from({ length: count }, (_, index) => sizes[sampledAt(index, count, sizes.length)]!);
}

/** Which of `size` sorted jobs a sample of `count` names at `index`. */
export function sampledAt(index: number, count: number, size: number): number {
  return Math.round((index * (size - 1)) / (count - 1));
}
