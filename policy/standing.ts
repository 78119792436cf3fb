/**
 * What an order knows that its jobs do not tell: how much each flow has had, and which job others were let ahead of. It is written down before the object may
 * sleep; otherwise each wake would begin with the same flow, and let others ahead of the same job, forever.
 */
import type { Lane } from "./lane.ts";
import { keptDebt } from "./returns.ts";
import type { Lasts } from "./rivals.ts";
import { type Use, usesMore } from "./use.ts";

/**
 * A flow: how far its virtual time is ahead of the present one, what it has to get back (both in ms of the pool's rate, divided by its weight), and whether it
 * has yet to pay for its first job. `use`: only if its calls use more than they reserve. `debt`: the part of its lead that is a debt (`Lane`).
 */
export type Had = [flow: string, lead: number, credit: number, owes?: boolean, more?: { use?: Use; debt?: number }];

/**
 * `others`: the lead of waiting flows that are not listed. `part`: the part of its reservation that a call is thought to use. `lasts`: who started last.
 * `passed`: the job that others were let ahead of, and how long they delayed it, ms.
 */
export type Standing = { flows: Had[]; others?: number; part?: number; lasts?: Lasts; passed?: [job: string, delayedMs: number] };

/** The same standing for a pool whose rate has changed; `by` converts its ms of rate. */
export function rescaled(standing: Standing, by: number): Standing {
  if (by === 1) return standing;
  const { flows, others, passed } = standing;
  return {
    ...standing,
    flows: flows.map((had) => rescaledHad(had, by)),
    ...(others !== undefined && { others: others * by }),
    ...(passed && { passed: [passed[0], passed[1] * by] }),
  };
}

function rescaledHad([flow, lead, credit, owes = false, more]: Had, by: number): Had {
  const debt = more?.debt;
  return [flow, lead * by, credit * by, owes, { ...more, ...(debt !== undefined && { debt: debt * by }) }];
}

/**
 * At most this many flows are written, those that had the most: 100 KB of a row's 2 MB, or 500 KB if all their calls use more than they reserve, once before
 * each sleep. With more flows, if the object sleeps between two turns, a turn of each would take half a day.
 */
const FLOWS_WRITTEN = 5_000;

/**
 * `present`: the present virtual time. A flow that stands where a newcomer would is left out. If there are too many, those that had less count as if they had
 * had as much as the last one listed: taken for newcomers, the first of them would have its turn again at each wake.
 */
export function hadOf(lanes: Iterable<Lane>, present: number): Pick<Standing, "flows" | "others"> {
  const had: Had[] = [];
  for (const lane of lanes) {
    const { credit, earlier, flow, owes, running, size, use, virtual } = lane;
    // An idle or capped lane does not wait for the pool: it is owed nothing when it comes back (`rejoin`). But while it has calls under way, an idle one keeps
    // its place: what they take beyond their charge counts from there.
    const idle = size === 0 || lane.isCapped;
    const isHere = size > 0 || earlier + running > 0;
    const least = size === 0 && isHere ? Number.NEGATIVE_INFINITY : 0;
    const lead = idle ? Math.max(least, virtual - credit - present) : virtual - present;
    const back = idle ? 0 : credit;
    const debt = keptDebt(lane, present);
    // A flow whose calls use more than they reserve would run into debt again after each wake, if it were then thought to use no more than others.
    const more = { ...(isHere && usesMore(use) ? { use: { ...use } } : {}), ...(debt > 0 ? { debt } : {}) };
    if (Object.keys(more).length > 0) had.push([flow, lead, back, owes, more]);
    else if (lead !== 0 || back !== 0 || owes !== lane.yields) had.push(owes ? [flow, lead, back, true] : [flow, lead, back]);
  }
  if (had.length <= FLOWS_WRITTEN) return { flows: had };
  const flows = had.sort(([, a], [, b]) => b - a).slice(0, FLOWS_WRITTEN);
  return { flows, others: flows.at(-1)![1] };
}
