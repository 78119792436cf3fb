/** What a consumer has not been told: the events of the channel after a place, in the one order, out of the logs of its jobs. */
import type { JobEvent } from "../../schemas/event.ts";
import type { Desk } from "./desk.ts";
import { entriesOf } from "./log.ts";
import { replay } from "./replay.ts";
import type { JobRow } from "./store/store.ts";
import { idOf } from "./view.ts";

/** An event by its job's number and its seq. */
type Spot = { place: number; n: number; seq: number };

/** Events of a page: one pass over the jobs finds so many. A page that is not full is the last. */
export const PAGE = 1_000;

/**
 * The next events after a place, a page of them in order; read one by one, as far as they are asked for. What is still to be told as it comes
 * (new jobs that the coordinator has not confirmed) is left out.
 */
export function* backlog(desk: Desk, after: number, deltas: boolean): Generator<JobEvent & { place: number }> {
  let page: Spot[] = [];
  const cut = () => {
    page = page.sort((a, b) => a.place - b.place).slice(0, PAGE);
  };
  for (const row of desk.store.unsettled(after)) {
    for (const spot of spotsOf(desk, row, after, deltas)) page.push(spot);
    if (page.length > 4 * PAGE) cut();
  }
  cut();
  const told = new Map<number, JobEvent[]>();
  for (const { n, place, seq } of page) {
    const row = desk.store.job(n);
    if (!row) continue;
    // The events of one job stand close together; those of all jobs of a page at once would be too much to hold.
    if (!told.has(n)) {
      told.clear();
      told.set(n, replay(desk, idOf(desk.address, row), row, seq - 1, deltas));
    }
    const event = told.get(n)!.find((each) => each.seq === seq);
    if (event) yield { ...event, place };
  }
}

function spotsOf(desk: Desk, row: JobRow, after: number, deltas: boolean): Spot[] {
  const { n } = row;
  const spots = entriesOf(row).flatMap(([seq, , , , place = 0]): Spot[] =>
    place > after && !desk.order.isAwaited(place) ? [{ place, n, seq }] : [],
  );
  if (!deltas) return spots;
  const missed = desk.store.deltas.after(n, 0).filter(({ place }) => place > after);
  return [...spots, ...missed.map(({ place, seq }) => ({ place, n, seq }))];
}
