/** Query parameters that several doors read. */
import type { Problem } from "../../schemas/problem.ts";
import { badParameter } from "./respond.ts";

const NAMES = ["after", "batch", "channel", "deltas", "limit", "order", "purpose", "status", "wait"];

/** What is wrong with a query that gives a parameter twice: whichever value counted, the other one would be ignored. Null if it does not. */
export function repetitionIn({ search, searchParams }: URL): Problem | null {
  const name = search === "" ? undefined : NAMES.find((each) => searchParams.getAll(each).length > 1);
  return name === undefined ? null : badParameter(`${name} may be given only once.`, name);
}

/** `item`: what the list holds, in words. `fits`: whether a text may be the id of such an item. */
type List = { standard: number; most: number; item: string; fits: (id: string) => boolean };

/** The number that a text of nothing but digits stands for; null if it is another text, or the number is too large to be exact. */
export function wholeNumber(text: string): number | null {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(number) ? number : null;
}

export type Paging = { ok: true; limit: number; after: string | null } | { ok: false; problem: Problem };

/**
 * Which page of a list a client asks for. The item that `after` names may be gone since: its id still says where it stood. A text that is no such id stands
 * nowhere, and any page would be the wrong one.
 */
export function pagingOf(url: URL, { fits, item, most, standard }: List): Paging {
  const repetition = repetitionIn(url);
  if (repetition) return { ok: false, problem: repetition };
  const { searchParams } = url;
  const limit = wholeNumber(searchParams.get("limit") ?? String(standard));
  if (limit === null || limit < 1 || limit > most)
    return { ok: false, problem: badParameter(`limit must be a whole number from 1 to ${most}.`, "limit") };
  const after = searchParams.get("after");
  if (after !== null && !fits(after)) return { ok: false, problem: badParameter(`after must be the id of a ${item}.`, "after") };
  return { ok: true, limit, after };
}
