/**
 * What an order knows that its jobs do not tell: who has had how much, and whose start others were let ahead of. It is written down before the object may
 * sleep, or each wake would begin with the same flow, and let others ahead of the same job, for ever.
 */
import type { Lane } from "./lane.ts";
import { keptDebt } from "./returns.ts";
import type { Lasts } from "./rivals.ts";
import { type Use, usesMore } from "./use.ts";

/** Of a flow: how far its virtual time is beyond the present one, what it has to get back (both ms of the pool's rate, divided by its weight), and whether it has yet to pay for its first job. `use`: of one whose calls use more than they reserve; `debt`: of its lead (`Lane`). */
export type Had = [flow: string, lead: number, credit: number, owes?: boolean, more?: { use?: Use; debt?: number }];

/** `others`: the lead of those that wait and are not named. `part`: what is thought that calls use of what they reserve. `lasts`: who started last. `passed`: the job that others were let ahead of, and by how much that delayed it, ms. */
export type Standing = { flows: Had[]; others?: number; part?: number; lasts?: Lasts; passed?: [job: string, delayedMs: number] };

/** The same, of an order whose ms of rate are others. */
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

/** Flows written, those that had the most: a hundred kilobytes of a row of two million, half a million if calls of all use more than they reserve, once before a sleep. Were there more, a turn of each would take half a day where the object sleeps between two. */
const FLOWS_WRITTEN = 5_000;

/**
 * `present`: the virtual time of now. What stands as one that has just come would, is left out. Where there are too many, those that had less count as if they had had as much as the last that is named:
 * were they taken for such as had nothing, the first of them would have its turn again at each wake.
 */
export function hadOf(lanes: Iterable<Lane>, present: number): Pick<Standing, "flows" | "others"> {
  const had: Had[] = [];
  for (const lane of lanes) {
    const { credit, earlier, flow, owes, running, size, use, virtual } = lane;
    // One that is idle, or capped, does not wait for the pool: nothing is owed to it when it is back (`rejoin`). But what its calls under way will have taken beyond their charge counts from where it stands.
    const idle = size === 0 || lane.isCapped;
    const isHere = size > 0 || earlier + running > 0;
    const least = size === 0 && isHere ? Number.NEGATIVE_INFINITY : 0;
    const lead = idle ? Math.max(least, virtual - credit - present) : virtual - present;
    const back = idle ? 0 : credit;
    // Thought to use no more than others, such a flow would have a debt again and again after each wake.
    const debt = keptDebt(lane, present);
    const more = { ...(isHere && usesMore(use) ? { use: { ...use } } : {}), ...(debt > 0 ? { debt } : {}) };
    if (Object.keys(more).length > 0) had.push([flow, lead, back, owes, more]);
    else if (lead !== 0 || back !== 0 || owes !== lane.yields) had.push(owes ? [flow, lead, back, true] : [flow, lead, back]);
  }
  if (had.length <= FLOWS_WRITTEN) return { flows: had };
  const flows = had.sort(([, a], [, b]) => b - a).slice(0, FLOWS_WRITTEN);
  return { flows, others: flows.at(-1)![1] };
}
